import { zstdCompressSync, zstdDecompressSync, constants } from 'node:zlib';
import { wireLimits } from '../../proto/wire.ts';
import type { LogChunk__Output } from '../../proto/wire.ts';
import { DomainError } from '../domain-error.ts';

export const compressions = { none: 0, zstd: 1 } as const;

/** A piece of a job's encoded log: as it is stored, and opened. */
export interface Chunk {
  /** Of the first byte, in the encoded log. */
  offset: number;
  length: number;
  /** Lines that ended before this chunk, and in it. */
  firstLine: number;
  lines: number;
  compression: number;
  data: Buffer;
  bytes: Buffer;
}

/** A chunk larger than this is no agent's of ours. */
export const CHUNK_MAX_BYTES = wireLimits.messageBytes;

/** Checks a chunk as it came and opens it; it never becomes larger than it says. Throws DomainError. */
export function openChunk(wire: LogChunk__Output): Chunk {
  const { offset = 0, length = 0, firstLine = 0, lines = 0, compression = 0 } = wire;
  const data = wire.data ?? Buffer.alloc(0);
  if (length < 1 || length > CHUNK_MAX_BYTES) throw invalidChunk('its length');
  if (!isCount(offset) || !isCount(firstLine) || lines > length) throw invalidChunk('its numbers');
  const bytes = decodeChunk(compression, data, length);
  return { offset, length, firstLine, lines, compression, data, bytes };
}

/** Opens stored or received data. Throws DomainError when it is not `length` bytes of that compression. */
export function decodeChunk(compression: number, data: Buffer, length: number): Buffer {
  const bytes = decompress(compression, data, length);
  if (bytes.length !== length) throw invalidChunk('its length');
  return bytes;
}

function decompress(compression: number, data: Buffer, length: number): Buffer {
  if (compression === compressions.none) return data;
  if (compression !== compressions.zstd) throw invalidChunk('its compression');
  try {
    // One buffer of the right size: what the default begins with has to be joined.
    return zstdDecompressSync(data, { maxOutputLength: length, chunkSize: Math.max(64, length) });
  } catch {
    throw invalidChunk('its content');
  }
}

/**
 * What of a chunk lies past `offset`; null when nothing does. Chunks that are sent again may be cut at other
 * places than before. Line numbers are the server's own count up to there.
 */
export function trimChunk(chunk: Chunk, offset: number, linesBefore: number): Chunk | null {
  const skip = offset - chunk.offset;
  if (skip <= 0) return chunk;
  if (skip >= chunk.length) return null;
  const bytes = chunk.bytes.subarray(skip);
  const lastLine = chunk.firstLine + chunk.lines;
  return {
    offset,
    length: bytes.length,
    firstLine: linesBefore,
    lines: Math.min(Math.max(lastLine - linesBefore, 0), bytes.length),
    compression: compressions.zstd,
    data: zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
    bytes,
  };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function invalidChunk(what: string): DomainError {
  return new DomainError('invalid', 'log_chunk_invalid', `A log chunk is not right: ${what}.`);
}
