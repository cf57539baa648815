import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { fileContext } from '../files/testing/file-context.ts';
import { findLostFiles, LIBC_MAX_BYTES } from './find-lost-file.ts';

const LIBC = '/usr/lib/x86_64-linux-gnu/libc.so.6';
const CACHE = 'var/cache/apt/archives';
const CONTENT = '\x7fELF of a library';

describe('a lost file in an archive that the system keeps', () => {
  let folder: string;
  let root: string;
  let job: string;
  let runReal: ActionContext['run'];
  let notes: string[];
  let mostBytes: number;
  beforeEach(() => {
    notes = [];
    mostBytes = 0;
    folder = mkdtempSync(join(tmpdir(), 'ivl-'));
    root = join(folder, 'root');
    job = join(folder, 'job');
    mkdirSync(job);
    runReal = fileContext(folder).run;
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
    return { tree, archive };
  };
  const find = async (path = LIBC) => {
    const run: ActionContext['run'] = async (...command) => {
      const ended = await runReal(...command);
      mostBytes = Math.max(mostBytes, bytesIn(job));
      return ended;
    };
    const note = (text: string) => void notes.push(text);
    const context = { directory: job, run, note, signal: new AbortController().signal };
    const target = { files: new TargetFiles(root), root: new TargetRoot(root) };
    const md5 = createHash('md5').update(CONTENT, 'latin1').digest('hex');
    const lost = [{ path, md5, package: 'libc6:amd64' }];
    const found = await findLostFiles(context as ActionContext, target as Target, lost);
    return found.get(path);
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

  it.each([
    ['as dpkg-deb packs them', ['./usr']],
    ['with names that dpkg-deb does not give', ['usr']],
    ['of an owner with a blank in the name', ['--owner=a b:1', './usr']],
  ])('is read from among files that would fill the memory, %s', async (_, words) => {
    const { tree, archive } = keepArchive((path) => {
      for (let count = 0; count < 5; count++) {
        execFileSync('truncate', ['-s', String(LIBC_MAX_BYTES), `${path}.${count}`]);
      }
      whole(path);
    });
    packAgain(archive, tree, words);
    expect(await find()).toMatchObject({ mode: 0o644, from: `/${CACHE}/libc6_1_amd64.deb` });
    expect(mostBytes).toBeLessThan(LIBC_MAX_BYTES);
  });

  it('is read where its path is longer than a header of tar', async () => {
    const long = `/usr/${'long/'.repeat(30)}libc.so.6`;
    keepArchive((path) => {
      const other = join(path.slice(0, -LIBC.length), long);
      mkdirSync(dirname(other), { recursive: true });
      whole(other);
    });
    expect(await find(long)).toBeDefined();
    expect(await find()).toBeUndefined();
  });

  it('is passed over in an archive that dpkg would not unpack, which is said', async () => {
    const { tree, archive } = keepArchive(whole);
    packAgain(archive, tree, ['--format=posix', './usr']);
    expect(await find()).toBeUndefined();
    expect(notes.join()).toContain(
      'libc6_1_amd64.deb is read no further: it holds what dpkg does not',
    );
  });

  it('is not waited for where the archive itself is a pipe', async () => {
    execFileSync('mkfifo', [join(root, CACHE, 'libc6_1_amd64.deb')]);
    expect(await find()).toBeUndefined();
  });
});

/** Puts other data into an archive, packed by tar with these words. */
function packAgain(archive: string, tree: string, words: readonly string[]): void {
  const control = execFileSync('dpkg-deb', ['--ctrl-tarfile', archive]);
  const tar = ['--create', '--gzip', '--format=gnu', `--directory=${tree}`, ...words];
  const members = [
    ['debian-binary', Buffer.from('2.0\n')],
    ['control.tar', control],
    ['data.tar.gz', execFileSync('tar', tar)],
  ] as const;
  const parts = members.flatMap(([name, bytes]) => {
    const header = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}`;
    const end = bytes.length % 2 === 0 ? '' : '\n';
    return [
      Buffer.from(`${header}${String(bytes.length).padEnd(10)}\`\n`),
      bytes,
      Buffer.from(end),
    ];
  });
  writeFileSync(archive, Buffer.concat([Buffer.from('!<arch>\n'), ...parts]));
}

function bytesIn(path: string): number {
  const [kib] = execFileSync('du', ['-sk', '--apparent-size', path], { encoding: 'utf8' }).split(
    '\t',
  );
  return Number(kib) * 1024;
}
