import { open, type FileHandle } from 'node:fs/promises';
import { crc32c } from '../crc32c.ts';

/** A stretch of the device that e2fsck has overwritten, and where in the undo file its old bytes are. */
export interface UndoEntry {
  deviceOffset: number;
  bytes: number;
  fileOffset: number;
}

const MAGIC = 'E2UNDO02';
const HEADER_BYTES = 512;
const KEY_BLOCK_MAGIC = 0xcadecade;
const KEY_BYTES = 16;
const FINISHED = 1;
const MAX_BLOCK_BYTES = 1024 * 1024;
const MAX_ENTRY_BLOCKS = 512;

/**
 * Reads the index of an undo file of e2fsprogs (e2undo(8)). Of a file whose writer was killed it gives what
 * is whole: entries with a wrong checksum are left out, and what follows a broken index block is too.
 * Null when there is no such file, or it was never begun.
 */
export async function readUndoFile(
  path: string,
): Promise<{ entries: UndoEntry[]; isComplete: boolean } | null> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (file === null) return null;
  try {
    return await readIndex(file);
  } finally {
    await file.close();
  }
}

async function readIndex(
  file: FileHandle,
): Promise<{ entries: UndoEntry[]; isComplete: boolean } | null> {
  const header = await readExactly(file, 0, HEADER_BYTES);
  if (header === null || header.toString('latin1', 0, 8) !== MAGIC) return null;
  const keys = Number(header.readBigUInt64LE(8));
  const blockBytes = header.readUInt32LE(32);
  const deviceBlockBytes = header.readUInt32LE(36);
  let isComplete = (header.readUInt32LE(44) & FINISHED) !== 0;
  if (blockBytes < 1024 || blockBytes > MAX_BLOCK_BYTES || deviceBlockBytes === 0) return null;
  const keysPerBlock = blockBytes / KEY_BYTES - 1;
  const entries: UndoEntry[] = [];
  let block = Number(header.readBigUInt64LE(24));
  // After a kill the header's count may be behind the index, so blocks are followed while they are whole.
  for (let seen = 0; !isComplete || seen < keys; seen += keysPerBlock) {
    const index = await readExactly(file, block * blockBytes, blockBytes);
    if (index === null || !isIndexBlock(index)) {
      isComplete = false;
      break;
    }
    block++;
    const count = isComplete ? Math.min(keysPerBlock, keys - seen) : keysPerBlock;
    for (let key = 1; key <= count; key++) {
      const at = key * KEY_BYTES;
      const bytes = index.readUInt32LE(at + 12);
      if (bytes === 0) break;
      if (bytes > MAX_ENTRY_BLOCKS * blockBytes) return { entries, isComplete: false };
      const entry = {
        deviceOffset: Number(index.readBigUInt64LE(at)) * deviceBlockBytes,
        bytes,
        fileOffset: block * blockBytes,
      };
      const content = await readExactly(file, entry.fileOffset, bytes);
      if (content !== null && crc32c(content) === index.readUInt32LE(at + 8)) entries.push(entry);
      else isComplete = false;
      block += Math.ceil(bytes / blockBytes);
    }
  }
  return { entries, isComplete };
}

function isIndexBlock(block: Buffer): boolean {
  if (block.readUInt32LE(0) !== KEY_BLOCK_MAGIC) return false;
  const checksum = block.readUInt32LE(4);
  block.writeUInt32LE(0, 4);
  return crc32c(block) === checksum;
}

async function readExactly(file: FileHandle, offset: number, bytes: number) {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, offset);
  return bytesRead === bytes ? buffer : null;
}
