import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { findLostFiles, LIBC_MAX_BYTES } from './find-lost-file.ts';

const LIBC = '/usr/lib/x86_64-linux-gnu/libc.so.6';
const CACHE = 'var/cache/apt/archives';
const CONTENT = '\x7fELF of a library';

describe('a lost file in an archive that the system keeps', () => {
  let folder: string;
  let root: string;
  let notes: string[];
  beforeEach(() => {
    notes = [];
    folder = mkdtempSync(join(tmpdir(), 'ivl-'));
    root = join(folder, 'root');
    mkdirSync(join(root, CACHE), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** An archive in which `make` puts something at the path of the library. */
  const keepArchive = (make: (path: string) => void, version = '1') => {
    const tree = join(folder, `tree-${version}`);
    mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
    const control = `Package: libc6\nVersion: ${version}\nArchitecture: amd64\n`;
    writeFileSync(join(tree, 'DEBIAN/control'), `${control}Maintainer: a <a@b>\nDescription: c\n`);
    mkdirSync(dirname(join(tree, LIBC)), { recursive: true });
    make(join(tree, LIBC));
    const archive = join(root, CACHE, `libc6_${version}_amd64.deb`);
    execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z1', '--build', tree, archive]);
  };
  const find = async () => {
    const run: ActionContext['run'] = (argv, options) =>
      new Promise((resolve) => {
        const [program, ...words] = argv;
        const { signal, timeoutMs: timeout, onOutput } = options ?? {};
        execFile(program!, words, { signal, timeout }, (error, out, err) => {
          onOutput?.('out', Buffer.from(out));
          const exitStatus = error === null ? 0 : Number(error.code ?? 1);
          resolve({ exitStatus, signal: null, timedOut: false, out, err, truncated: false });
        });
      });
    const note = (text: string) => void notes.push(text);
    const context = { directory: folder, run, note, signal: new AbortController().signal };
    const target = { files: new TargetFiles(root), root: new TargetRoot(root) };
    const md5 = createHash('md5').update(CONTENT, 'latin1').digest('hex');
    const lost = [{ path: LIBC, md5, package: 'libc6:amd64' }];
    const found = await findLostFiles(context as ActionContext, target as Target, lost);
    return found.get(LIBC);
  };
  const whole = (path: string) => writeFileSync(path, CONTENT, 'latin1');

  it('is found by its sum', async () => {
    keepArchive(whole);
    expect(await find()).toMatchObject({ mode: 0o644, from: `/${CACHE}/libc6_1_amd64.deb` });
  });

  it.each([
    ['a pipe', (path: string) => void execFileSync('mkfifo', [path])],
    ['a device', (path: string) => void execFileSync('mknod', [path, 'c', '1', '5'])],
    ['a link to an endless device', (path: string) => symlinkSync('/dev/zero', path)],
    [
      'larger than any library',
      (path: string) => void execFileSync('truncate', ['-s', String(LIBC_MAX_BYTES + 1), path]),
    ],
  ])('is passed over where it is %s, and looked for in the next', async (_, make) => {
    keepArchive(make);
    keepArchive(whole, '2');
    expect(await find()).toMatchObject({ from: `/${CACHE}/libc6_2_amd64.deb` });
  });

  it('is never read from this machine, where a link in an archive leads', async () => {
    const outside = join(folder, 'outside');
    whole(outside);
    keepArchive((path) => symlinkSync(outside, path));
    expect(await find()).toBeUndefined();
  });

  it('is not unpacked from a small archive that would fill the memory', async () => {
    keepArchive((path) => {
      whole(path);
      for (let count = 0; count < 4; count++) {
        execFileSync('truncate', ['-s', String(LIBC_MAX_BYTES), `${path}.${count}`]);
      }
    });
    keepArchive(whole, '2');
    expect(await find()).toMatchObject({ from: `/${CACHE}/libc6_2_amd64.deb` });
    expect(notes.join()).toMatch(
      /libc6_1_amd64\.deb is passed over: unpacked it needs 671\d{5} bytes/,
    );
  });

  it('is not waited for where the archive itself is a pipe', async () => {
    execFileSync('mkfifo', [join(root, CACHE, 'libc6_1_amd64.deb')]);
    expect(await find()).toBeUndefined();
  });
});
