import { createGunzip, createZstdDecompress } from 'node:zlib';
import { Readable, Writable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Of one entry of cpio's "newc" format, in hexadecimal digits (cpio(5)). */
const HEADER_BYTES = 110;
const SIZE_AT = 54;
const NAME_SIZE_AT = 94;
const LAST = 'TRAILER!!!';
/** More than any initramfs holds: what comes after is not looked at. */
const UNPACKED_MAX_BYTES = 4 * 1024 ** 3;

/**
 * Why a kernel could not unpack an initramfs: it is cut short, or no archive. Null where nothing is seen, also
 * where it is packed in a way that is not known here. What is not packed lies first, such as microcode; the
 * rest is one packed stream (initramfs buffer format of the kernel's documentation).
 */
export async function initramfsFault(bytes: Buffer): Promise<string | null> {
  let at = 0;
  let archives = 0;
  for (;;) {
    while (at < bytes.length && bytes[at] === 0) at++;
    if (!isArchive(bytes, at)) break;
    const end = archiveEnd(bytes, at);
    if (end === null) return 'it is cut short';
    at = end;
    archives++;
  }
  if (at >= bytes.length) return archives === 0 ? 'it is empty' : null;
  if (at + 4 > bytes.length) return 'it is cut short';
  const unpack = unpackerOf(bytes.subarray(at));
  return unpack === null ? null : unpackFault(bytes.subarray(at), unpack);
}

const isArchive = (bytes: Buffer, at: number) =>
  /^07070[12]$/.test(bytes.toString('latin1', at, at + 6));

/** Where the archive that begins here ends; null where that lies beyond the bytes. */
function archiveEnd(bytes: Buffer, start: number): number | null {
  const aligned = (at: number) => start + Math.ceil((at - start) / 4) * 4;
  for (let at = start; isArchive(bytes, at);) {
    const field = (offset: number) =>
      Number.parseInt(bytes.toString('latin1', at + offset, at + offset + 8), 16);
    const [size, nameSize] = [field(SIZE_AT), field(NAME_SIZE_AT)];
    const data = aligned(at + HEADER_BYTES + nameSize);
    const next = aligned(data + size);
    if (!(next > at) || data + size > bytes.length) return null;
    const name = bytes.toString('latin1', at + HEADER_BYTES, at + HEADER_BYTES + nameSize - 1);
    if (name === LAST) return next;
    at = next;
  }
  return null;
}

function unpackerOf(packed: Buffer): Transform | null {
  const magic = packed.readUInt32LE(0);
  if (magic === 0xfd2fb528) return createZstdDecompress();
  return (magic & 0xffff) === 0x8b1f ? createGunzip() : null;
}

async function unpackFault(packed: Buffer, unpack: Transform): Promise<string | null> {
  let bytes = 0;
  const enough = new AbortController();
  const count = new Writable({
    write(piece: Buffer, _, done) {
      bytes += piece.length;
      if (bytes > UNPACKED_MAX_BYTES) enough.abort();
      done();
    },
  });
  try {
    await pipeline(Readable.from([packed]), unpack, count, { signal: enough.signal });
  } catch (error) {
    if (enough.signal.aborted) return null;
    return `it cannot be unpacked: ${(error as Error).message}`;
  }
  return bytes === 0 ? 'it is empty' : null;
}
