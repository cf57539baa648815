import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { ed25519, ED25519_TORSION_SUBGROUP } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPasskey } from '../../test/fixtures/passkey.ts';
import {
  ed25519KeySchema,
  generateSigningKey,
  keyFingerprint,
  loadSigningKey,
  passkeySchema,
  publicKeySchema,
  verifySignature,
} from './keys.ts';
import type { Ed25519Key } from './keys.ts';

const message = Buffer.from('what was signed');
const ed25519Key = (raw: Uint8Array | string): Ed25519Key => ({
  type: 'ed25519',
  public: Buffer.from(raw as string, 'hex').toString('base64url'),
});

/** Other encodings of the points of small order: y over the prime, or the sign of x = 0 set. */
const nonCanonical = [
  '0100000000000000000000000000000000000000000000000000000000000080',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
];
const weak = [...ED25519_TORSION_SUBGROUP, ...nonCanonical];

/** Signatures that some verifiers accept for every message under a key of small order. */
const forgeries = weak.flatMap((point) => [
  Buffer.concat([Buffer.from(point, 'hex'), Buffer.alloc(32)]),
  Buffer.concat([Buffer.from(point, 'hex'), randomBytes(32)]),
]);

describe('an Ed25519 key of small order', () => {
  it.each(weak)('%s is refused when it is loaded', (hex) => {
    expect(ed25519KeySchema.safeParse(ed25519Key(hex)).success).toBe(false);
    expect(publicKeySchema.safeParse(ed25519Key(hex)).success).toBe(false);
  });

  it.each(weak)('%s verifies nothing', (hex) => {
    const key = ed25519Key(hex);
    for (const sig of forgeries) {
      expect(() => verifySignature(key, message, { keyid: '', sig })).toThrow('weak Ed25519 key');
    }
  });
});

describe('an Ed25519 key', () => {
  it('has one encoding: none with a number over the prime is accepted', () => {
    const prime = 2n ** 255n - 19n;
    const encodings = Array.from({ length: 38 }, (_unused, index) => {
      const value = (prime + BigInt(index >> 1)) | (BigInt(index & 1) << 255n);
      return Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse().toString('hex');
    });
    const accepted = encodings.filter((hex) => ed25519KeySchema.safeParse(ed25519Key(hex)).success);
    expect(accepted).toEqual([]);
  });

  it('with a part of small order is refused', () => {
    const strong = ed25519.Point.BASE.multiply(12345n);
    const torsion = ed25519.Point.fromHex(ED25519_TORSION_SUBGROUP[1]!);
    expect(ed25519KeySchema.safeParse(ed25519Key(strong.toHex())).success).toBe(true);
    expect(ed25519KeySchema.safeParse(ed25519Key(strong.add(torsion).toHex())).success).toBe(false);
  });

  it.each([
    ['31 bytes', randomBytes(31).toString('base64url')],
    ['33 bytes', randomBytes(33).toString('base64url')],
    ['no point', `${'A'.repeat(42)}I`],
    ['other characters', `${'A'.repeat(42)}+`],
    ['padding', `${'A'.repeat(43)}=`],
    ['bits left over', `${Buffer.alloc(32, 0x58).toString('base64url').slice(0, 42)}B`],
  ])('of %s is refused', (_what, text) => {
    expect(ed25519KeySchema.safeParse({ type: 'ed25519', public: text }).success).toBe(false);
  });

  it('verifies its own signature and no other', () => {
    const { signer } = generateSigningKey();
    const { signer: other } = generateSigningKey();
    const sig = signer.sign(message);
    expect(verifySignature(signer.key, message, { keyid: '', sig })).toBe(true);
    expect(verifySignature(other.key, message, { keyid: '', sig })).toBe(false);
    expect(verifySignature(signer.key, Buffer.from('else'), { keyid: '', sig })).toBe(false);
    const short = sig.subarray(0, 63);
    expect(verifySignature(signer.key, message, { keyid: '', sig: short })).toBe(false);
    const webauthn = { authenticatorData: Buffer.alloc(37), clientDataJSON: Buffer.from('{}') };
    expect(verifySignature(signer.key, message, { keyid: '', sig, webauthn })).toBe(false);
  });

  it('does not verify a signature with the group order added to S', () => {
    const { signer } = generateSigningKey();
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const sig = Buffer.from(signer.sign(bytes));
        const s = BigInt(`0x${Buffer.from(sig.subarray(32)).reverse().toString('hex')}`);
        const raised = (s + ed25519.Point.Fn.ORDER).toString(16).padStart(64, '0');
        const forged = Buffer.concat([sig.subarray(0, 32), Buffer.from(raised, 'hex').reverse()]);
        expect(verifySignature(signer.key, bytes, { keyid: '', sig: forged })).toBe(false);
      }),
      { numRuns: 20 },
    );
  });

  it('is loaded from its PEM as the same key', () => {
    const { signer, privateKeyPem } = generateSigningKey();
    expect(loadSigningKey(privateKeyPem).key).toEqual(signer.key);
  });

  it('is not loaded from the PEM of another kind of key', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
    expect(() => loadSigningKey(pem)).toThrow('not an Ed25519 private key');
  });
});

describe('a passkey', () => {
  const { key } = createPasskey();
  const point = Buffer.from(key.public, 'base64url');
  const reEncoded = (first: number) =>
    Buffer.concat([Buffer.from([first]), point.subarray(1)]).toString('base64url');

  it('is loaded', () => {
    expect(publicKeySchema.parse(key)).toEqual(key);
  });

  it.each([
    [
      'a point off the curve',
      {
        public: Buffer.concat([point.subarray(0, 64), Buffer.from([point[64]! ^ 1])]).toString(
          'base64url',
        ),
      },
    ],
    ['the point at infinity', { public: Buffer.alloc(65).toString('base64url') }],
    ['the hybrid form of its point', { public: reEncoded(0x06 | (point[64]! & 1)) }],
    [
      'the compressed form of its point',
      { public: Buffer.concat([Buffer.from([2]), point.subarray(1, 33)]).toString('base64url') },
    ],
    ['no origin', { origins: [] }],
    ['an empty relying party', { rpId: '' }],
    ['a field of its own', { counter: 1 }],
  ])('is refused with %s', (_what, changes) => {
    expect(passkeySchema.safeParse({ ...key, ...changes }).success).toBe(false);
  });
});

describe('a fingerprint', () => {
  it('is that of OpenSSH: SHA-256 in base64 without padding', () => {
    const { signer } = generateSigningKey();
    expect(keyFingerprint(signer.key)).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
    expect(keyFingerprint({ ...signer.key })).toBe(keyFingerprint(signer.key));
  });

  it('is fixed for a known key', () => {
    const base = ed25519Key(ed25519.Point.BASE.toHex());
    expect(keyFingerprint(base)).toBe('SHA256:od5eqTWQa+9ZB6s5fiVvfaFtJZFwTxNVp6U8SvkjZ2o');
  });

  it('stays right when far more keys are seen than are remembered', () => {
    const make = (index: number) => ed25519Key(index.toString(16).padStart(64, '0'));
    const first = Array.from({ length: 3000 }, (_unused, index) => keyFingerprint(make(index)));
    const second = Array.from({ length: 3000 }, (_unused, index) => keyFingerprint(make(index)));
    expect(second).toEqual(first);
    expect(new Set(first).size).toBe(3000);
  });
});
