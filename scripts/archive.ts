export interface ArchiveEntry {
  /** Relative; at most 100 bytes. */
  name: string;
  content: Uint8Array;
  mode: 0o644 | 0o755;
}

const BLOCK = 512;

/**
 * Files as a ustar archive (POSIX.1-1988). The same files give the same bytes. Parts can be joined, also when
 * each was compressed by itself with gzip or xz: only the last one is to have `isLast`, which ends the archive.
 */
export function packEntries(entries: readonly ArchiveEntry[], isLast: boolean): Buffer {
  const blocks = entries.flatMap((entry) => [header(entry), entry.content, padding(entry.content)]);
  if (isLast) blocks.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(blocks);
}

function header({ name, content, mode }: ArchiveEntry): Buffer {
  if (Buffer.byteLength(name) > 100) throw new RangeError(`${name} is too long for the archive`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
  block.write(name, 0);
  block.write(octal(mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(content.byteLength, 11), 124);
  block.write(octal(0, 11), 136);
  block.write(' '.repeat(8), 148);
  block.write('0', 156);
  block.write('ustar\x0000', 257);
  block.write('root', 265);
  block.write('root', 297);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148);
  return block;
}

function padding(content: Uint8Array): Buffer {
  return Buffer.alloc((BLOCK - (content.byteLength % BLOCK)) % BLOCK);
}
