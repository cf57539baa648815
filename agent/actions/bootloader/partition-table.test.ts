import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must, run } from '../../../test/harness/process.ts';
import type { ActionContext } from '../../runner/action.ts';
import { inspectDevice } from '../../target/block-device.ts';
import { makeDiskImage } from '../../target/testing/disk-image.ts';
import { findDamagedTable } from './partition-table.ts';

const LIMIT_MS = 120_000;
const SECTOR_BYTES = 512;
const HEAD_BYTES = 34 * SECTOR_BYTES;
const MIB = 1024 * 1024;
const SECOND = 35 * MIB;

const context: Pick<ActionContext, 'run' | 'signal'> = {
  signal: new AbortController().signal,
  async run(argv) {
    const { status, stdout: out, stderr: err } = await run([...argv]);
    return { exitStatus: status, signal: null, timedOut: false, out, err, truncated: false };
  },
};

let folder: string;
let disk: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'iv-table-'));
  disk = join(folder, 'disk.img');
  // Whatever is laid over its first 32 MiB leaves the copy of this table at its end.
  await makeDiskImage(disk, 'gpt', [{ mebibytes: 34 }, { mebibytes: 28, format: 'ext4' }]);
}, LIMIT_MS);
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const found = async () => findDamagedTable(context, await inspectDevice(disk));

async function write(offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(disk, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.close();
}

const layOver = (image: string) =>
  must(['dd', `if=${image}`, `of=${disk}`, 'bs=1M', 'conv=notrunc', 'status=none']);

describe('the copy of a partition table at the end of a disk', () => {
  it(
    'counts where a file system lies where it says, and tells what was read',
    async () => {
      expect(await found()).toBeNull();
      await write(0, new Uint8Array(HEAD_BYTES));
      const last = (64 * MIB) / SECTOR_BYTES - 1;
      expect((await found())?.seen).toEqual([
        'Sector 1: it does not begin with "EFI PART".',
        `Sector ${last}, the last: a header and a list of partitions with the right checksums.`,
        'Sector 0: no partition of an MBR.',
        `Sector ${SECOND / SECTOR_BYTES}, where a partition begins by the copy: ext4.`,
      ]);
      await write(SECOND, new Uint8Array(MIB));
      expect(await found()).toBeNull();
    },
    LIMIT_MS,
  );

  it(
    'counts without a file system where the MBR says that there was such a table',
    async () => {
      await write(SECTOR_BYTES, new Uint8Array(HEAD_BYTES - SECTOR_BYTES));
      await write(SECOND, new Uint8Array(MIB));
      expect((await found())?.seen.at(-1)).toBe(
        'Sector 0: the entry of an MBR that stands for a GPT.',
      );
    },
    LIMIT_MS,
  );

  it(
    'does not count on a disk that was written anew with an MBR',
    async () => {
      const image = join(folder, 'other.img');
      await makeDiskImage(image, 'dos', [{ mebibytes: 30, format: 'ext4' }]);
      await write(0, new Uint8Array(HEAD_BYTES));
      await layOver(image);
      expect(await found()).toBeNull();
    },
    LIMIT_MS,
  );

  it.each([
    ['ext4', ['mke2fs', '-q', '-F', '-t', 'ext4']],
    ['FAT', ['mkfs.fat']],
  ])(
    'does not count on a disk that is %s as a whole',
    async (_, words) => {
      const image = join(folder, 'other.img');
      await must(['truncate', '--size=32M', image]);
      await must([...words, image]);
      await layOver(image);
      expect(await found()).toBeNull();
    },
    LIMIT_MS,
  );
});

describe('a table at the end of a disk that is not the copy of the one at its start', () => {
  const IMAGE_BYTES = 32 * MIB;
  const IMAGE_LAST = IMAGE_BYTES / SECTOR_BYTES - 1;
  const DISK_LAST = (64 * MIB) / SECTOR_BYTES - 1;

  /** An image with partitions over the start of the disk, whose own table is damaged then. */
  async function layImageOver(): Promise<void> {
    const image = join(folder, 'image.img');
    await makeDiskImage(image, 'gpt', [{ mebibytes: 30, format: 'ext4' }]);
    await layOver(image);
  }
  const gone = (sector: number) => write(sector * SECTOR_BYTES, new Uint8Array(SECTOR_BYTES));
  const foreign = async () => (await found())?.foreign;

  it(
    'is told by the own copy of an image that was laid over the disk, and by its header',
    async () => {
      await layImageOver();
      expect(await found()).toBeNull();
      await gone(1);
      expect(await foreign()).toContain(`lies in sector ${IMAGE_LAST}`);
      await gone(IMAGE_LAST);
      expect(await foreign()).toBe(
        `sector 0 belongs to a disk that ends at sector ${IMAGE_LAST}, and this one ends at ${DISK_LAST}`,
      );
      await layImageOver();
      await gone(IMAGE_LAST);
      // The list of its partitions.
      await gone(2);
      expect(await foreign()).toBe('the header in sector 1 names another disk than the copy does');
    },
    LIMIT_MS,
  );

  it(
    'is told by what lies where its EFI partition is to be',
    async () => {
      await makeDiskImage(disk, 'gpt', [{ mebibytes: 34, format: 'ext4', type: 'U' }]);
      await gone(1);
      expect(await foreign()).toBe(
        'by the copy an EFI partition begins at sector 2048, and ext4 lies there',
      );
    },
    LIMIT_MS,
  );

  it(
    'is not where only the checksum of the first is wrong',
    async () => {
      await write(SECTOR_BYTES + 16, new Uint8Array(4));
      expect(await foreign()).toBeNull();
    },
    LIMIT_MS,
  );
});
