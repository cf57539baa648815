import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiagnosticsResult } from '../../proto/actions/diagnostics.ts';
import { filesWith, formsOf, tablesWith } from '../harness/secret-search.ts';
import { Stack } from '../harness/stack.ts';

const MEBIBYTE = 1024 * 1024;
/** Where the kernel has it, what the volume holds is looked at, too (`test/lab/storage.test.ts`). */
const hasDeviceMapper = readFileSync('/proc/misc', 'utf8').includes('device-mapper');

/** An encrypted disk, as cryptsetup makes it without the kernel's help. */
function makeEncryptedDisk(image: string, key: string): void {
  writeFileSync(image, '');
  truncateSync(image, 32 * MEBIBYTE);
  const fast = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  const words = ['luksFormat', '--batch-mode', ...fast, '--key-file=-', image];
  execFileSync('cryptsetup', words, { input: key });
}

describe('the key of an encrypted disk', () => {
  let stack: Stack;
  let image: string;
  const key = `canary-"${randomBytes(12).toString('hex')}"\\é`;
  const forms = formsOf(key);
  const file = (name: string) => path.join(stack.folder, name);
  const look = (...words: string[]) =>
    stack.cli('lead', '--json', 'diagnose', 'web-04', '--disk', image, ...words);
  const rulesOf = (stdout: string) =>
    (JSON.parse(stdout) as { result: DiagnosticsResult }).result.findings.map(({ rule }) => rule);
  const give = (action: string, from: string) =>
    stack.ok(
      'carol',
      ...['credentials', 'give', 'web-04', '--name', 'disk-key', '--action', action],
      ...['--from-file', file(from), '--yes'],
    );

  beforeAll(async () => {
    stack = await Stack.start();
    image = file('disk.img');
    makeEncryptedDisk(image, key);
    // Where people keep theirs: not in the folders that are searched.
    writeFileSync(file('right.key'), `${key}\n`, { mode: 0o600 });
    writeFileSync(file('wrong.key'), `not ${key.slice(0, 8)}`, { mode: 0o600 });
    await stack.authorize('diagnostics.collect,boot.repair-fstab');
  });
  afterAll(() => stack?.close());

  it('is asked for by a diagnosis that has none', async () => {
    const done = await look();
    expect(done.status, done.stderr).toBe(0);
    expect(rulesOf(done.stdout)).toContain('luks.no_key');
  });

  it('is proven by the agent: another of the engineer opens nothing, and the job says so', async () => {
    const done = await look('--secret', `disk-key=${file('wrong.key')}`);
    expect(done.status).toBe(1);
    expect(done.stdout).toContain('disk_key_wrong');
    const human = ['diagnose', 'web-04', '--disk', image];
    const said = await stack.cli('lead', ...human, '--secret', `disk-key=${file('wrong.key')}`);
    expect(said.stderr + said.stdout).toContain(`the key of the order does not open ${image}`);
  });

  it('reaches cryptsetup from the file of an engineer, and opens', async () => {
    const done = await look('--secret', `disk-key=${file('right.key')}`);
    expect(done.status, done.stderr).toBe(0);
    const rules = rulesOf(done.stdout);
    expect(rules).not.toContain('luks.no_key');
    expect(rules.includes('disk.not_opened')).toBe(!hasDeviceMapper);
  });

  it('reaches it from the client, who gives it for one action', async () => {
    await give('diagnostics.collect', 'right.key');
    const done = await look('--given', 'disk-key');
    expect(done.status, done.stderr).toBe(0);
    expect(rulesOf(done.stdout)).not.toContain('luks.no_key');
  });

  it('is not used for another action than the one it was given for', async () => {
    const words = ['plan', 'web-04', 'boot.repair-fstab', '--disk', image, '--given', 'disk-key'];
    const done = await stack.cli('lead', ...words);
    expect(done.status).not.toBe(0);
    expect(done.stderr).toContain('disk-key');
  });

  it('given wrong by the client is told to be wrong', async () => {
    await give('boot.repair-fstab', 'wrong.key');
    const words = ['plan', 'web-04', 'boot.repair-fstab', '--disk', image, '--given', 'disk-key'];
    const done = await stack.cli('lead', ...words);
    expect(done.status).toBe(1);
    expect(done.stderr + done.stdout).toContain(`the key of the order does not open ${image}`);
  });

  it('stands in no table and no file of control plane or agent', async () => {
    expect(await tablesWith(stack.data, forms)).toEqual([]);
    expect(filesWith([stack.data, stack.state], forms)).toEqual([]);
    // This search does find what is there.
    expect(filesWith([stack.folder], forms)).toEqual([file('right.key')]);
  });
});
