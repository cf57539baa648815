import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c } from './crc32c.ts';

describe('CRC-32C', () => {
  it('gives the published check value, inverted', () => {
    // RFC 3720, B.4 and the catalogue of CRC algorithms: CRC-32/ISCSI of "123456789".
    expect(~crc32c(Buffer.from('123456789')) >>> 0).toBe(0xe3069283);
    expect(~crc32c(Buffer.alloc(32)) >>> 0).toBe(0x8a9136aa);
  });

  it('of two parts is that of the whole', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (one, other) => {
        expect(crc32c(other, crc32c(one))).toBe(crc32c(Buffer.concat([one, other])));
      }),
    );
  });
});
