import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TargetFiles } from './target-files.ts';

let folder: string;
let root: string;
let files: TargetFiles;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'ivt-')));
  root = join(folder, 'root');
  await mkdir(join(root, 'etc/deep'), { recursive: true });
  await writeFile(join(root, 'etc/hostname'), 'inside\n');
  await writeFile(join(folder, 'secret'), 'outside\n');
  await mkdir(join(folder, 'etc'));
  await writeFile(join(folder, 'etc/hostname'), 'outside\n');
  files = new TargetFiles(root);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const link = (target: string, name: string) => symlink(target, join(root, name));

describe('files of a target', () => {
  it('are read, and missed where they are not', async () => {
    expect(await files.read('/etc/hostname')).toBe('inside\n');
    expect(await files.read('etc//./hostname')).toBe('inside\n');
    for (const path of ['/etc/gone', '/gone/x', '/etc/hostname/x']) {
      expect(await files.read(path)).toBeNull();
      expect(await files.stat(path)).toBeNull();
    }
    expect(await files.list('/etc')).toEqual(['deep', 'hostname']);
    expect(await files.list('/gone')).toEqual([]);
  });

  it.each(['/../secret', '/etc/../../secret', '/../../../../../../../../../etc/hostname'])(
    'are never outside: %s',
    async (path) => {
      expect(await files.read(path)).not.toBe('outside\n');
    },
  );

  it.each(['../secret', '../../secret', '/secret', '../../../../../../../../../../etc/hostname'])(
    'are never outside over a link to %s',
    async (target) => {
      await link(target, 'etc/link');
      expect(await files.read('/etc/link')).not.toBe('outside\n');
      await link('../../../..', 'etc/up');
      expect(await files.read('/etc/up/secret')).toBeNull();
    },
  );

  it('are found over links as the target itself would', async () => {
    await link('/etc', 'absolute');
    await link('hostname', 'etc/relative');
    await link('../../absolute/relative', 'etc/deep/chain');
    expect(await files.read('/etc/deep/chain')).toBe('inside\n');
    expect(await files.locate('/etc/deep/chain')).toBe(join(root, 'etc/hostname'));
    expect((await files.lstat('/etc/relative'))!.isSymbolicLink()).toBe(true);
    expect(await files.readLink('/etc/relative')).toBe('hostname');
    expect(await files.readLink('/etc/hostname')).toBeNull();
  });

  it('are plain files: no pipe waits, no device is opened, no loop is followed', async () => {
    execFileSync('mkfifo', [join(root, 'etc/pipe')]);
    execFileSync('mknod', [join(root, 'etc/device'), 'c', '1', '5']);
    await link('loop', 'etc/loop');
    for (const name of ['pipe', 'device']) {
      await expect(files.read(`/etc/${name}`)).rejects.toThrow('no plain file');
    }
    await expect(files.read('/etc/loop')).rejects.toThrow('loop of links');
    await expect(files.read('/etc')).rejects.toThrow('no plain file');
    await expect(files.read('/etc/\0')).rejects.toThrow('NUL');
  });

  it('are read only so far', async () => {
    await writeFile(join(root, 'etc/long'), 'x'.repeat(100_000));
    expect((await files.read('/etc/long', 1_000))!.length).toBe(1_000);
  });

  it('are those of the whole system where that is the root', async () => {
    const live = new TargetFiles();
    expect(await live.read('/proc/sys/kernel/ostype')).toBe('Linux\n');
    expect(await live.read('/no/such/file')).toBeNull();
    await link('loop', 'etc/loop');
    await expect(live.read(join(root, 'etc/loop'))).rejects.toThrow('loop of links');
    await expect(live.read('/dev/zero')).rejects.toThrow('no plain file');
  });
});
