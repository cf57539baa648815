import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TargetFiles } from '../../target/target-files.ts';
import { hostsAccessRepairs } from './hosts-access.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ivha-'));
  mkdirSync(join(root, 'etc'));
  mkdirSync(join(root, 'usr/sbin'), { recursive: true });
  writeFileSync(join(root, 'usr/sbin/sshd'), 'libwrap.so.0');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** What hosts.allow begins with afterwards; null when nothing is changed. */
async function added(allow: string, deny: string, source: string | null): Promise<string | null> {
  writeFileSync(join(root, 'etc/hosts.allow'), allow, 'latin1');
  writeFileSync(join(root, 'etc/hosts.deny'), deny);
  const packets = [{ port: 22, version: 4 as const, source }];
  const { steps } = await hostsAccessRepairs({ target: { files: new TargetFiles(root) }, packets });
  const [change] = steps[0]?.changes ?? [];
  if (change?.kind !== 'file') return null;
  const text = change.content!.toString('latin1');
  expect(text.endsWith(allow)).toBe(true);
  return text.slice(0, text.length - allow.length);
}

it.each([
  ['', 'sshd: ALL\n', 'sshd: ALL\n'],
  ['', 'ALL: ALL\n', 'sshd: ALL\n'],
  ['', 'ALL EXCEPT sshd: ALL\n', null],
  ['', 'ALL EXCEPT vsftpd: ALL: spawn x\n', 'sshd: ALL\n'],
  ['sshd: ALL\n', 'ALL: ALL\n', null],
  ['sshd: 10.0.0.0/255.0.0.0\n', 'ALL: ALL\n', null],
  ['vsftpd: ALL\n', 'ALL: ALL\n', 'sshd: ALL\n'],
  ['ALL: ALL: DENY\n', '', 'sshd: ALL\n'],
  ['#sshd: ALL\n# f\xfcr alle\n', 'sshd \\\n: ALL\n', 'sshd: ALL\n'],
  ['', 'sshd: 192.0.2.7\n', null],
  ['', 'sshd: ALL EXCEPT 192.0.2.7\n', null],
])('with %j allowed and %j denied, everybody: %j', async (allow, deny, expected) => {
  expect(await added(allow, deny, null)).toBe(expected);
});

it.each([
  ['sshd: 10.0.0.0/255.0.0.0\n', 'ALL: ALL\n', '10.1.2.3', null],
  ['sshd: 10.0.0.0/8\n', 'ALL: ALL\n', '203.0.113.4', 'sshd: 203.0.113.4\n'],
  ['', 'ALL: ALL\n', '203.0.113.0/24', 'sshd: 203.0.113.0/255.255.255.0\n'],
  ['', 'ALL: ALL\n', '2001:db8::/32', 'sshd: [2001:db8::]/32\n'],
  ['sshd: [2001:db8::]/32\n', 'ALL: ALL\n', '2001:db8::7', null],
  ['', 'sshd: 192.0.2.7\n', '192.0.2.7', 'sshd: 192.0.2.7\n'],
  ['', 'sshd: .example.org\n', '192.0.2.7', 'sshd: 192.0.2.7\n'],
  ['sshd: .example.org\n', '', '192.0.2.7', null],
])('with %j allowed and %j denied, %s: %j', async (allow, deny, source, expected) => {
  expect(await added(allow, deny, source)).toBe(expected);
});

it('nothing is changed where sshd does not read the files', async () => {
  writeFileSync(join(root, 'usr/sbin/sshd'), 'no wrappers');
  expect(await added('', 'ALL: ALL\n', null)).toBeNull();
});

it('nothing is changed, nor waited for, where a pipe has the name of sshd', async () => {
  rmSync(join(root, 'usr/sbin/sshd'));
  execFileSync('mkfifo', [join(root, 'usr/sbin/sshd')]);
  expect(await added('', 'ALL: ALL\n', null)).toBeNull();
});

/** Bytes that this process has read so far: proc_pid_io(5). */
const bytesRead = () => Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))![1]);

it('of what is too long to be sshd only the beginning is read', async () => {
  truncateSync(join(root, 'usr/sbin/sshd'), 1024 ** 3);
  const before = bytesRead();
  expect(await added('', 'ALL: ALL\n', null)).toBeNull();
  expect(bytesRead() - before).toBeLessThan(64 * 1024 ** 2);
});
