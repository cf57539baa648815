import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TargetFiles } from '../../../target/target-files.ts';
import { TargetRoot } from '../../../target/target-root.ts';
import { seenBy } from '../testing/probe-fixture.ts';
import { lookBorrowed } from './borrowed-programs.ts';

/** A file of this machine whose lines are no configuration of anything. */
const FOREIGN = '/usr/lib/os-release';
const SSHD = ['/usr/sbin/sshd', '-T', '-C', 'user=root,host=client.invalid,addr=192.0.2.1'];

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'ivbp-')));
  mkdirSync(join(root, 'etc/ssh'), { recursive: true });
  write('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (path: string, text: string) => writeFileSync(join(root, path), text);

async function said(argv: readonly string[], netAdmin = false) {
  const target = { files: new TargetFiles(root), root: new TargetRoot(root) };
  const look = async (words: readonly string[]) => {
    const { exitStatus, out, err } = await seenBy(words);
    return { exitStatus, out, err, signal: null, timedOut: false, truncated: false };
  };
  return lookBorrowed(target, look, argv, { netAdmin });
}

/** Each program with the file of the target that it reads, and how that includes another one. */
const programs: [string, string, (path: string) => string, string[]][] = [
  ['visudo', 'etc/sudoers', (path) => `@include ${path}\n`, ['visudo', '-c', '-f', '/etc/sudoers']],
  ['sshd', 'etc/ssh/sshd_config', (path) => `Include ${path}\n`, SSHD],
  [
    'nft',
    'etc/nftables.conf',
    (path) => `include "${path}"\n`,
    ['nft', '--check', '--file', '/etc/nftables.conf'],
  ],
];

describe.each(programs)(
  '%s of this machine, reading a file of the target',
  (...[, own, , argv]) => {
    const [, , include] = programs.find(([, file]) => file === own)!;
    const words = readFileSync(FOREIGN, 'utf8').match(/\w{5,}/g)!;

    it.each([FOREIGN, '/usr/lib/../lib/os-release'])('quotes nothing of %s', async (path) => {
      write(own, include(path));
      const { exitStatus, out, err } = await said(argv, true);
      expect(exitStatus).not.toBe(0);
      expect(`${out}${err}`).toContain('not shown');
      expect(words.filter((word) => `${out}${err}`.includes(word))).toEqual([]);
    });

    it('quotes nothing that a link of the target leads to', async () => {
      symlinkSync(FOREIGN, join(root, 'etc/linked'));
      write(own, include('/etc/linked'));
      const { out, err } = await said(argv, true);
      expect(`${out}${err}`).toContain('/etc/linked');
      expect(words.filter((word) => `${out}${err}`.includes(word))).toEqual([]);
    });

    it('quotes what is wrong in files of the target', async () => {
      write('etc/included', 'Nonsense of=the target\n');
      write(own, include('/etc/included'));
      const { exitStatus, out, err } = await said(argv, true);
      expect(exitStatus).not.toBe(0);
      expect(`${out}${err}`).toMatch(/\/etc\/included.*1[^]*Nonsense/);
    });
  },
);

it.each(['/proc', '/sys', '/root', '/home', '/usr/local', '/var/lib', '/opt', '/srv', '/boot'])(
  'a borrowed program finds nothing of this machine in %s',
  async (folder) => {
    const { out } = await said(['find', folder, '-mindepth', '1']);
    expect(out.split('\n').filter((path) => !/^(?:|\/var\/lib\/(?:dpkg|apt))$/.test(path))).toEqual(
      [],
    );
  },
);

it('a borrowed program can write nowhere that outlives it', async () => {
  for (const path of ['/etc/x', '/usr/lib/x', '/x', '/var/x']) {
    expect((await said(['touch', path])).err).toContain('Read-only file system');
  }
});
