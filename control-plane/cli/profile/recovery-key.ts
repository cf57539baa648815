import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { loadSigningKey } from '../../../proto/documents/keys.ts';
import type { Signer } from '../../../proto/documents/keys.ts';
import { usageError } from '../cli-error.ts';

/** Crockford's alphabet: no letter that can be taken for a digit. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const GROUP = 8;
const CHECK_BYTES = 3;
const SEED_BYTES = 32;
/** DER of a PKCS #8 Ed25519 private key up to its 32-byte seed (RFC 8410). */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** A key that exists on paper alone: 32 bytes of seed and 3 of checksum, in seven groups of eight letters. */
export function createRecoveryKey(): { signer: Signer; printed: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  const seed = der.subarray(PKCS8_ED25519.length);
  return { signer: signerOf(seed), printed: printSeed(seed) };
}

/** Reads what was printed. Spaces, dashes and case do not matter; O, I and L are read as digits. */
export function readRecoveryKey(printed: string): Signer {
  const letters = printed
    .toUpperCase()
    .replaceAll(/[\s-]/g, '')
    .replaceAll('O', '0')
    .replaceAll(/[IL]/g, '1');
  const bytes = decode(letters);
  const seed = bytes?.subarray(0, SEED_BYTES);
  if (bytes === null || seed === undefined || !bytes.subarray(SEED_BYTES).equals(check(seed))) {
    throw usageError(
      'This is not a recovery key: a letter is missing or mistaken.',
      [
        {
          label: 'compare it with the paper, eight letters at a time',
          command: 'intervene keys recover --recovery-key-file FILE',
        },
      ],
      'recovery_key_wrong',
    );
  }
  return signerOf(seed);
}

function signerOf(seed: Uint8Array): Signer {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  return loadSigningKey(key.export({ format: 'pem', type: 'pkcs8' }) as string);
}

function printSeed(seed: Uint8Array): string {
  const bytes = Buffer.concat([seed, check(seed)]);
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  const letters = (bits.match(/.{5}/g) ?? []).map((five) => ALPHABET[Number.parseInt(five, 2)]);
  return (letters.join('').match(new RegExp(`.{1,${GROUP}}`, 'g')) ?? []).join('-');
}

function decode(letters: string): Buffer | null {
  if (letters.length !== ((SEED_BYTES + CHECK_BYTES) * 8) / 5) return null;
  let bits = '';
  for (const letter of letters) {
    const value = ALPHABET.indexOf(letter);
    if (value === -1) return null;
    bits += value.toString(2).padStart(5, '0');
  }
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

function check(seed: Uint8Array): Buffer {
  return createHash('sha256')
    .update('intervene recovery key')
    .update(seed)
    .digest()
    .subarray(0, CHECK_BYTES);
}
