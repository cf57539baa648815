import { execFileSync } from 'node:child_process';
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
import { Mounts } from '../../../target/offline/mounts.ts';
import { TargetFiles } from '../../../target/target-files.ts';
import { TargetRoot } from '../../../target/target-root.ts';
import { fileContext } from '../../files/testing/file-context.ts';
import { BorrowedPrograms } from './borrowed-programs.ts';

/** A file of this machine whose lines are no configuration of anything. */
const FOREIGN = '/usr/lib/os-release';
const SSHD = ['/usr/sbin/sshd', '-T', '-C', 'user=root,host=client.invalid,addr=192.0.2.1'];

let root: string;
let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'ivbq-'));
  root = realpathSync(mkdtempSync(join(tmpdir(), 'ivbp-')));
  mkdirSync(join(root, 'etc/ssh'), { recursive: true });
  write('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n');
});
afterEach(() => {
  for (const folder of [root, place]) rmSync(folder, { recursive: true, force: true });
});

const write = (path: string, text: string) => writeFileSync(join(root, path), text);

async function said(argv: readonly string[], netAdmin = false) {
  const { run } = fileContext(place);
  const mounts = new Mounts({ run, signal: new AbortController().signal });
  const layout = { mounts, place };
  const target = { files: new TargetFiles(root), root: new TargetRoot(root), layout };
  try {
    const borrowed = await BorrowedPrograms.of({ directory: place }, target, (words, options) =>
      run(words, { output: 'capture', ...options }),
    );
    return await borrowed.run(argv, { netAdmin });
  } finally {
    await mounts.unmountAll();
  }
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

describe('what a disk says its programs are to load', () => {
  /** A library that says so when it is loaded; OpenSSL takes it for an engine. */
  function evilLibrary(): string {
    const source = join(place, 'evil.c');
    writeFileSync(
      source,
      '#include <stdio.h>\n__attribute__((constructor)) void f(void) { fprintf(stderr, "LOADED\\n"); }\n',
    );
    execFileSync('cc', ['-shared', '-fPIC', '-o', join(root, 'etc/evil.so'), source]);
    return '/etc/evil.so';
  }

  it('is loaded by none of this machine, and cannot be', async () => {
    const library = evilLibrary();
    mkdirSync(join(root, 'etc/ssl'));
    write(
      'etc/ssl/openssl.cnf',
      `openssl_conf = all\n[all]\nengines = engines\n[engines]\none = engine\n[engine]\ndynamic_path = ${library}\n`,
    );
    write('etc/ssh/sshd_config', 'Port 2222\n');
    const key = join(root, 'etc/ssh/ssh_host_ed25519_key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const asked = await said(SSHD);
    expect(asked.out).toContain('port 2222');
    expect(asked.err).not.toContain('LOADED');
    const forced = await said(['/usr/bin/env', `LD_PRELOAD=${library}`, '/bin/true']);
    expect(forced.err).toContain('cannot be preloaded');
    expect(forced.err).not.toContain('LOADED');
  });

  it('would get nothing of the kernel that a job without disks does not get', async () => {
    const { exitStatus, err } = await said(['unshare', '--user', '--map-root-user', '/bin/true']);
    expect(exitStatus).not.toBe(0);
    expect(err).toContain('Operation not permitted');
  });
});
