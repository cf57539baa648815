import { createHash } from 'node:crypto';

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const ROUNDS = 5000;
const SALT_MAX = 16;
const SIZE = 64;

/**
 * The hash of a password as crypt(5) of every Linux since 2007 checks it (`$6$`, 5000 rounds), after Ulrich
 * Drepper's "Unix crypt using SHA-256 and SHA-512", version 0.6. The numbers are those of its steps.
 *
 * @param salt up to 16 characters of `./0-9A-Za-z`
 */
export function sha512Crypt(password: string, salt: string): string {
  if (!/^[./0-9A-Za-z]{1,16}$/.test(salt)) throw new TypeError('no salt of SHA-512 crypt');
  const key = Buffer.from(password);
  const saltBytes = Buffer.from(salt.slice(0, SALT_MAX));
  // 4 to 8
  const b = digest(key, saltBytes, key);
  // 1 to 12
  const parts = [key, saltBytes, repeated(b, key.length)];
  for (let bits = key.length; bits > 0; bits >>>= 1) parts.push((bits & 1) === 1 ? b : key);
  let a = digest(...parts);
  // 13 to 16
  const p = repeated(digest(...Array.from({ length: key.length }, () => key)), key.length);
  // 17 to 20
  const s = repeated(
    digest(...Array.from({ length: 16 + a[0]! }, () => saltBytes)),
    saltBytes.length,
  );
  // 21
  for (let round = 0; round < ROUNDS; round++) {
    const isOdd = round % 2 === 1;
    const pieces = [isOdd ? p : a];
    if (round % 3 !== 0) pieces.push(s);
    if (round % 7 !== 0) pieces.push(p);
    pieces.push(isOdd ? a : p);
    a = digest(...pieces);
  }
  return `$6$${salt}$${encode(a)}`;
}

function digest(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha512');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** So many bytes of a digest, over and over. */
function repeated(bytes: Buffer, length: number): Buffer {
  return Buffer.alloc(length, bytes);
}

/** 22: three bytes to four letters, the lowest bits first, in an order of its own. */
function encode(bytes: Buffer): string {
  let text = '';
  const group = (value: number, letters: number) => {
    for (let rest = value, at = 0; at < letters; at++, rest >>>= 6) text += ALPHABET[rest & 63];
  };
  for (let at = 0, [x, y, z] = [0, 21, 42]; at < 21; at++) {
    group((bytes[x]! << 16) | (bytes[y]! << 8) | bytes[z]!, 4);
    [x, y, z] = [y + 1, z + 1, x + 1];
  }
  group(bytes[SIZE - 1]!, 2);
  return text;
}
