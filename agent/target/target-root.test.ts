import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPlainFile, TargetRoot } from './target-root.ts';

let outside: string;
let root: string;
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'ivr-'));
  root = join(outside, 'root');
  mkdirSync(join(root, 'usr/lib/units'), { recursive: true });
  mkdirSync(join(root, 'etc'));
  mkdirSync(join(outside, 'etc'));
  writeFileSync(join(root, 'etc/passwd'), 'inside');
  writeFileSync(join(outside, 'etc/passwd'), 'outside');
});
afterEach(() => rmSync(outside, { recursive: true, force: true }));

async function read(path: string): Promise<string | null> {
  const at = path.lastIndexOf('/');
  const folder = await new TargetRoot(root).openFolder(path.slice(0, at) || '/');
  try {
    const handle = await openPlainFile(folder, path.slice(at + 1));
    if (handle === null) return null;
    try {
      return (await handle.readFile()).toString();
    } finally {
      await handle.close();
    }
  } finally {
    await folder.close();
  }
}

describe('a path in a target', () => {
  it.each([
    ['an absolute symlink', '/etc', 'a/passwd'],
    ['a symlink to the folder above the root', '../../etc', 'a/passwd'],
    ['a long way up', '../../../../../../../../etc', 'a/passwd'],
    ['a symlink over a symlink', 'b', 'a/passwd'],
  ])('stays inside over %s', async (_, target, path) => {
    symlinkSync('/etc', join(root, 'b'));
    symlinkSync(target, join(root, 'a'));
    expect(await read(`/${path}`)).toBe('inside');
  });

  it('stays inside when it is itself written to lead out', async () => {
    expect(await read('/../../etc/passwd')).toBe('inside');
    expect(await read('/usr/lib/../../../etc/passwd')).toBe('inside');
    expect(await read('//etc/./passwd')).toBe('inside');
  });

  it('is named as the target itself would', async () => {
    symlinkSync('usr/lib', join(root, 'lib'));
    const folder = await new TargetRoot(root).openFolder('/lib/units/..//units');
    expect(folder.path).toBe('/usr/lib/units');
    await folder.close();
  });

  it('leads nowhere over links in a circle, over a file, and to what is missing', async () => {
    symlinkSync('two', join(root, 'one'));
    symlinkSync('one', join(root, 'two'));
    await expect(read('/one/passwd')).rejects.toMatchObject({ why: 'foreign' });
    await expect(read('/etc/passwd/x')).rejects.toMatchObject({ why: 'foreign' });
    await expect(read('/no/x')).rejects.toMatchObject({ why: 'missing' });
    expect(await read('/etc/none')).toBeNull();
  });

  it('does not become another one when a folder on it is replaced meanwhile', async () => {
    const folder = await new TargetRoot(root).openFolder('/etc');
    execFileSync('mv', [join(root, 'etc'), join(root, 'gone')]);
    symlinkSync(join(outside, 'etc'), join(root, 'etc'));
    const handle = await openPlainFile(folder, 'passwd');
    expect((await handle!.readFile()).toString()).toBe('inside');
    await handle!.close();
    await folder.close();
  });
});

describe('a file in a target', () => {
  it.each([
    ['a symlink', () => symlinkSync('passwd', join(root, 'etc/x'))],
    ['a symlink to nothing', () => symlinkSync('nothing', join(root, 'etc/x'))],
    ['a folder', () => mkdirSync(join(root, 'etc/x'))],
    ['a pipe that nobody writes', () => execFileSync('mkfifo', [join(root, 'etc/x')])],
    ['one of two names', () => linkSync(join(root, 'etc/passwd'), join(root, 'etc/x'))],
  ])('is refused when it is %s', async (_, make) => {
    make();
    await expect(read('/etc/x')).rejects.toMatchObject({ why: 'foreign' });
  });

  it.each(['', '.', '..', 'a/b', 'a\0b'])('is not named %j', async (name) => {
    const folder = await new TargetRoot(root).openFolder('/etc');
    expect(() => folder.entry(name)).toThrow('is no name in a folder');
    await folder.close();
  });
});
