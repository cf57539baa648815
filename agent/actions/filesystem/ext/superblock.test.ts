import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { debugfs, makeExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { findBackupSuperblocks } from './backup-superblock.ts';
import { filesystemBytes, parseSuperblock } from './superblock.ts';
import { patchFile, readBytes } from '../testing/image-bytes.ts';

describe('a superblock', () => {
  let folder: string;
  let image: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ivs-'));
    image = join(folder, 'image');
  });
  afterAll(() => rm(folder, { recursive: true }));

  const read = async () => parseSuperblock(await readBytes(image, 1024, 1024));

  it('tells what mke2fs was told', async () => {
    await makeExt4(image, { arguments: ['-U', '0f3c2b1a-1111-4222-8333-123456789abc'] });
    expect(await read()).toMatchObject({
      type: 'ext4',
      uuid: '0f3c2b1a-1111-4222-8333-123456789abc',
      blockSize: 1024,
      blocks: 16384,
      firstBlock: 1,
      blocksPerGroup: 8192,
      group: 0,
      journal: 'internal',
      needsRecovery: false,
      cleanlyUnmounted: true,
      errorsRecorded: false,
      multiMountProtection: false,
    });
    expect(filesystemBytes((await read())!)).toBe(16 * 1024 * 1024);
  });

  it.each(['ext2', 'ext3', 'ext4'] as const)('knows %s by its features', async (type) => {
    await makeExt4(image, { type });
    const superblock = await read();
    expect(superblock?.type).toBe(type);
    expect(superblock?.journal).toBe(type === 'ext2' ? 'none' : 'internal');
  });

  it('tells the state and the errors that debugfs sets', async () => {
    await makeExt4(image);
    await debugfs(image, ['ssv state 2', 'ssv error_count 7', 'feature needs_recovery']);
    expect(await read()).toMatchObject({
      cleanlyUnmounted: false,
      errorsRecorded: true,
      errorCount: 7,
      needsRecovery: true,
    });
  });

  it('with a wrong checksum, a wrong magic number or an impossible geometry is none', async () => {
    await makeExt4(image);
    await patchFile(image, 1024 + 0x78, Buffer.from('other'));
    expect(await read()).toBeNull();
    // Without checksums only the geometry can tell.
    await makeExt4(image, { type: 'ext2' });
    await patchFile(image, 1024 + 0x78, Buffer.from('other'));
    expect(await read()).not.toBeNull();
    await patchFile(image, 1024 + 0x18, Buffer.from([7]));
    expect(await read()).toBeNull();
    await makeExt4(image, { type: 'ext2' });
    await patchFile(image, 1024 + 0x38, Buffer.from([0]));
    expect(await read()).toBeNull();
  });

  it('of any bytes is read without an exception', () => {
    const magic = Buffer.from([0x53, 0xef]);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1024, maxLength: 1024 }), (bytes) => {
        const block = Buffer.from(bytes);
        magic.copy(block, 0x38);
        block.writeUInt32LE(0, 0x64);
        block[0x19] = block[0x1a] = block[0x1b] = 0;
        expect(() => parseSuperblock(block)).not.toThrow();
      }),
    );
  });
});

describe('copies of the superblock', () => {
  let folder: string;
  let image: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ivs-'));
    image = join(folder, 'image');
  });
  afterAll(() => rm(folder, { recursive: true }));

  const find = async () => {
    const file = await open(image);
    try {
      const found = await findBackupSuperblocks(file, (await file.stat()).size);
      return found.map(({ block, blockSize }) => [block, blockSize]);
    } finally {
      await file.close();
    }
  };

  it('are found at their usual places for small and large blocks', async () => {
    await makeExt4(image, { mebibytes: 32 });
    expect(await find()).toEqual([
      [8193, 1024],
      [24577, 1024],
    ]);
    await makeExt4(image, { blockSize: 4096, mebibytes: 400 });
    expect(await find()).toEqual([
      [32768, 4096],
      [98304, 4096],
    ]);
  });

  it('are found at unusual places too', async () => {
    await makeExt4(image, { arguments: ['-g', '4096'] });
    expect((await find())[0]).toEqual([4097, 1024]);
  });

  it('of a small file system with one group there are none', async () => {
    await makeExt4(image, { blockSize: 4096 });
    expect(await find()).toEqual([]);
  });

  it('of an image inside the file system are not taken for its own', async () => {
    await makeExt4(image, { mebibytes: 32 });
    const inner = join(folder, 'inner');
    await makeExt4(inner, { mebibytes: 16 });
    const bytes = await readBytes(inner, 0, 16 * 1024 * 1024);
    await patchFile(image, 0, Buffer.alloc(32 * 1024 * 1024));
    await patchFile(image, 512 * 1024, bytes);
    expect(await find()).toEqual([]);
  });

  it('of an older file system on the same device are passed over', async () => {
    await makeExt4(image, {
      mebibytes: 32,
      arguments: ['-U', '11111111-1111-4111-8111-111111111111'],
    });
    await debugfs(image, ['set_super_value mkfs_time 1000000000']);
    // The copies keep the time of now; so the old file system is made to be one.
    const old = await readBytes(image, 24577 * 1024, 1024);
    await makeExt4(image, { blockSize: 4096, mebibytes: 400 });
    await patchFile(image, 24577 * 1024, aged(old));
    expect(await find()).toEqual([
      [32768, 4096],
      [98304, 4096],
    ]);
  });

  it('of two file systems of the same time are ambiguous', async () => {
    await makeExt4(image, { mebibytes: 32, type: 'ext2' });
    const other = await readBytes(image, 24577 * 1024, 1024);
    other.write('0123456789abcdef', 0x68, 'latin1');
    await patchFile(image, 24577 * 1024, other);
    await expect(find()).rejects.toMatchObject({ reason: 'superblock_ambiguous' });
  });
});

/** The same superblock, made a year earlier; without a checksum, as ext2 and ext3 have none. */
function aged(superblock: Buffer): Buffer {
  const copy = Buffer.from(superblock);
  copy.writeUInt32LE(copy.readUInt32LE(0x108) - 365 * 24 * 3600, 0x108);
  copy.writeUInt32LE(copy.readUInt32LE(0x64) & ~0x410, 0x64);
  return copy;
}
