const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? POLYNOMIAL : 0);
  return value >>> 0;
});

/**
 * CRC-32C (Castagnoli) as ext4 and e2fsprogs use it: begun with all ones, not inverted at the end.
 * `before` continues an earlier one.
 */
export function crc32c(bytes: Uint8Array, before = 0xffffffff): number {
  let crc = before;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff]!;
  return crc >>> 0;
}
