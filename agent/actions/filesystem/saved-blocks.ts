import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SavedBackup } from '../../runner/action.ts';
import { pieces, totalBytes, type ByteRange } from './byte-ranges.ts';
import { readDevice, writeDevice } from './device-io.ts';
import { syncDirectory } from '../../connection/durable-file.ts';

const PIECE_BYTES = 1024 * 1024;
const MAGIC = 'intervene saved blocks 1\n';
const HEADER_BYTES = 8;
/** Disks write whole sectors; a piece written half is whole in each of these. */
const SECTOR_BYTES = 512;

/**
 * A file with the bytes that stretches of a device had. One file holds both the list and the bytes, so one
 * digest covers them: magic, length of the list (u32, little-endian, and 4 bytes zero), the list as JSON,
 * then the bytes in the order of the list.
 */
export class SavedBlocks {
  readonly ranges: readonly ByteRange[];
  private readonly file: FileHandle;
  private readonly start: number;

  private constructor(file: FileHandle, ranges: readonly ByteRange[], start: number) {
    this.file = file;
    this.ranges = ranges;
    this.start = start;
  }

  /**
   * Saves stretches of a device in a new file; it and its name are on disk when this returns. `source` gives
   * the bytes from elsewhere than the device, at the same offsets.
   */
  static async save(
    path: string,
    ranges: readonly ByteRange[],
    source: (offset: number, bytes: number) => Promise<Buffer>,
  ): Promise<SavedBackup> {
    const hash = createHash('sha256');
    const file = await open(path, 'wx', 0o600);
    try {
      let bytes = 0;
      const append = async (piece: Buffer) => {
        hash.update(piece);
        await file.appendFile(piece);
        bytes += piece.length;
      };
      const list = Buffer.from(JSON.stringify(ranges));
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt32LE(list.length);
      await append(Buffer.concat([Buffer.from(MAGIC), header, list]));
      for (const [start, length] of pieces(ranges, PIECE_BYTES)) {
        await append(await source(start, length));
      }
      await file.sync();
      await syncDirectory(dirname(path));
      return { path, bytes, digest: `sha256:${hash.digest('hex')}` };
    } finally {
      await file.close();
    }
  }

  /** Throws Error when the file is not whole. */
  static async open(path: string): Promise<SavedBlocks> {
    const file = await open(path);
    try {
      const head = Buffer.alloc(MAGIC.length + HEADER_BYTES);
      await file.read(head, 0, head.length, 0);
      if (head.toString('latin1', 0, MAGIC.length) !== MAGIC) {
        throw new Error(`${path} holds no saved blocks`);
      }
      const list = Buffer.alloc(head.readUInt32LE(MAGIC.length));
      await file.read(list, 0, list.length, head.length);
      const ranges = JSON.parse(list.toString('utf8')) as ByteRange[];
      const start = head.length + list.length;
      const { size } = await file.stat();
      if (size !== start + totalBytes(ranges)) throw new Error(`${path} is not whole`);
      return new SavedBlocks(file, ranges, start);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** The saved bytes, piece by piece, with where on the device they belong. */
  async *pieces(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
    const buffer = Buffer.alloc(PIECE_BYTES);
    let at = this.start;
    for (const [offset, length] of pieces(this.ranges, PIECE_BYTES)) {
      yield { offset, bytes: await readDevice(this.file, buffer, at, length) };
      at += length;
    }
  }

  /** Whether the device has exactly these bytes. */
  async isOn(device: FileHandle): Promise<boolean> {
    const buffer = Buffer.alloc(PIECE_BYTES);
    for await (const { offset, bytes } of this.pieces()) {
      if (!bytes.equals(await readDevice(device, buffer, offset, bytes.length))) return false;
    }
    return true;
  }

  /** Writes back what differs. Returns how many bytes were written; the caller syncs. */
  async restore(device: FileHandle): Promise<number> {
    const buffer = Buffer.alloc(PIECE_BYTES);
    let written = 0;
    for await (const { offset, bytes } of this.pieces()) {
      if (bytes.equals(await readDevice(device, buffer, offset, bytes.length))) continue;
      await writeDevice(device, bytes, offset);
      written += bytes.length;
    }
    return written;
  }
}

/**
 * Whether each sector of these stretches holds either what it held before or what it was given, as a
 * write or an undo that was cut off leaves it. Both must have the same ranges.
 */
export async function isMixtureOf(
  device: FileHandle,
  before: SavedBlocks,
  after: SavedBlocks,
): Promise<boolean> {
  if (JSON.stringify(before.ranges) !== JSON.stringify(after.ranges)) return false;
  const buffer = Buffer.alloc(PIECE_BYTES);
  const others = after.pieces();
  for await (const { offset, bytes } of before.pieces()) {
    const { value } = await others.next();
    const now = await readDevice(device, buffer, offset, bytes.length);
    for (let at = 0; at < now.length; at += SECTOR_BYTES) {
      const sector = now.subarray(at, at + SECTOR_BYTES);
      const isOld = sector.equals(bytes.subarray(at, at + SECTOR_BYTES));
      if (!isOld && !sector.equals(value.bytes.subarray(at, at + SECTOR_BYTES))) return false;
    }
  }
  return true;
}
