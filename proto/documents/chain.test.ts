import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signAccountKeys, signRoot } from '../../test/fixtures/chains.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';
import { followAccountKeysChain, followRootChain, requireUnrevokedSigners } from './chain.ts';
import { digestOf, DocumentError } from './document.ts';
import { keyFingerprint } from './keys.ts';
import type { Signer } from './keys.ts';

const account = randomUUID();
const [a, b, c, d, e, stranger] = Array.from({ length: 6 }, () => createWorldKey().signer) as [
  Signer,
  Signer,
  Signer,
  Signer,
  Signer,
  Signer,
];

const first = signRoot([a, b, c], [a, b], null, { threshold: 2 });
const second = signRoot([b, c, d], [b, c], first, { version: 2, threshold: 2 });
const third = signRoot([d, e], [b, d, c, e], second, { version: 3, threshold: 2 });
const pin = digestOf(first);

describe('a chain of roots', () => {
  it('leads from the pinned one to the newest', () => {
    expect(followRootChain([first], pin).payload.version).toBe(1);
    const newest = followRootChain([first, second, third], pin);
    expect(newest.payload.version).toBe(3);
    expect(newest.digest).toBe(digestOf(third));
  });

  it('begins at the pinned one, whatever stands before it', () => {
    const fresh = signRoot([d, e], [a, b, d, e], first, { version: 2, threshold: 2 });
    const newest = followRootChain([first, fresh], digestOf(fresh));
    expect(newest.payload.version).toBe(2);
    expect(newest.signers).toEqual([d.key, e.key]);
    const junk = signRoot([stranger], [stranger], null);
    const later = followRootChain([junk, first, second, third], digestOf(second));
    expect(later.payload.version).toBe(3);
  });

  it.each<[string, Uint8Array[], string, string]>([
    ['is empty', [], pin, 'signer_unknown'],
    ['does not hold the pinned one', [first, second], digestOf(third), 'signer_unknown'],
    ['skips a version', [first, third], pin, 'payload_malformed'],
    ['goes back', [first, second, first], pin, 'signature_invalid'],
    ['repeats a version', [first, second, second], pin, 'payload_malformed'],
    [
      'skips a number with all signatures',
      [first, signRoot([b, c], [a, b, c], first, { version: 3, threshold: 2 })],
      pin,
      'payload_malformed',
    ],
    [
      'names another predecessor',
      [first, signRoot([b, c], [b, c], second, { version: 2, threshold: 2 })],
      pin,
      'payload_malformed',
    ],
    [
      'misses the old threshold',
      [first, signRoot([c, d], [c, d], first, { version: 2, threshold: 2 })],
      pin,
      'signature_invalid',
    ],
    [
      'misses the new threshold',
      [first, signRoot([d, e], [a, b, d], first, { version: 2, threshold: 2 })],
      pin,
      'signature_invalid',
    ],
    [
      'is signed by new keys alone',
      [first, signRoot([d, e], [d, e], first, { version: 2 })],
      pin,
      'signature_invalid',
    ],
    [
      'is also signed by a stranger',
      [first, signRoot([b, c], [b, c, stranger], first, { version: 2, threshold: 2 })],
      pin,
      'signer_unknown',
    ],
    [
      'begins with a root below its own threshold',
      [signRoot([a, b], [a], null, { threshold: 2 })],
      digestOf(signRoot([a, b], [a], null, { threshold: 2 })),
      'signature_invalid',
    ],
    ['holds another document', [first, Buffer.from('{}')], pin, 'envelope_malformed'],
    [
      'holds account keys',
      [first, signAccountKeys(account, [a.key, b.key], [a, b], null)],
      pin,
      'type_not_allowed_for_key',
    ],
  ])('is refused when it %s', (_what, chain, from, reason) => {
    expect(reasonOf(() => followRootChain(chain, from))).toBe(reason);
  });

  it('is not read before the old threshold has signed', () => {
    const malformed = signRoot([d], [d], first, { version: 2 });
    const text = Buffer.from(malformed).toString();
    const { payload, ...envelope } = JSON.parse(text) as { payload: string };
    const broken = Buffer.from(
      JSON.stringify({ ...envelope, payload: Buffer.from('{"').toString('base64') }),
    );
    expect(payload).not.toBe('');
    expect(reasonOf(() => followRootChain([first, broken], pin))).toBe('signature_invalid');
  });

  it('can replace all of eight keys at once', () => {
    const old = Array.from({ length: 8 }, () => createWorldKey().signer);
    const fresh = Array.from({ length: 8 }, () => createWorldKey().signer);
    const start = signRoot(old, old, null, { threshold: 8 });
    const next = signRoot(fresh, [...old, ...fresh], start, { version: 2, threshold: 8 });
    expect(followRootChain([start, next], digestOf(start)).payload.version).toBe(2);
  });

  it('holds with any quorum of old and new keys, and with no less', () => {
    const everybody = [a, b, c, d, e];
    fc.assert(
      fc.property(
        fc.subarray(everybody, { minLength: 1 }),
        fc.subarray(everybody, { minLength: 1 }),
        fc.subarray(everybody, { minLength: 1 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        (old, fresh, signers, oldThreshold, newThreshold) => {
          fc.pre(oldThreshold <= old.length && newThreshold <= fresh.length);
          const start = signRoot(old, old, null, { threshold: oldThreshold });
          const next = signRoot(fresh, signers, start, { version: 2, threshold: newThreshold });
          const count = (keys: Signer[]) =>
            signers.filter((signer) => keys.includes(signer)).length;
          const expected =
            count(old) >= oldThreshold &&
            count(fresh) >= newThreshold &&
            signers.every((signer) => old.includes(signer) || fresh.includes(signer));
          const reason = reasonOf(() => followRootChain([start, next], digestOf(start)));
          expect(reason === undefined).toBe(expected);
        },
      ),
      { numRuns: 150 },
    );
  });
});

const keysOne = signAccountKeys(account, [a.key, b.key], [a], null);
const keysTwo = signAccountKeys(account, [c.key, b.key], [a], keysOne, { version: 2 });
const keysThree = signAccountKeys(account, [d.key, e.key], [b], keysTwo, { version: 3 });
const keysPin = digestOf(keysOne);

describe('a chain of account keys', () => {
  it('leads from the pinned ones to the newest, also by the recovery key', () => {
    const newest = followAccountKeysChain([keysOne, keysTwo, keysThree], keysPin);
    expect(newest.payload.version).toBe(3);
    expect(newest.payload.keys[0]?.key).toEqual(d.key);
  });

  it('begins at the pinned ones, though only former keys signed them', () => {
    const start = digestOf(keysTwo);
    expect(followAccountKeysChain([keysOne, keysTwo], start).signers).toEqual([]);
    expect(followAccountKeysChain([keysTwo, keysThree], start).payload.version).toBe(3);
  });

  it.each<[string, Uint8Array[], string, string]>([
    ['is empty', [], keysPin, 'signer_unknown'],
    ['begins with others', [keysTwo, keysThree], keysPin, 'signer_unknown'],
    ['skips a version', [keysOne, keysThree], keysPin, 'payload_malformed'],
    [
      'is signed by a new key alone',
      [keysOne, signAccountKeys(account, [c.key, b.key], [c], keysOne, { version: 2 })],
      keysPin,
      'signer_unknown',
    ],
    [
      'is signed by a key that was replaced',
      [keysOne, keysTwo, signAccountKeys(account, [a.key, b.key], [a], keysTwo, { version: 3 })],
      keysPin,
      'signer_unknown',
    ],
    [
      'changes the account',
      [keysOne, signAccountKeys(randomUUID(), [c.key, b.key], [a], keysOne, { version: 2 })],
      keysPin,
      'payload_malformed',
    ],
    [
      'names another predecessor',
      [keysOne, signAccountKeys(account, [c.key, b.key], [a], keysTwo, { version: 2 })],
      keysPin,
      'payload_malformed',
    ],
    [
      'begins with keys that a stranger signed',
      [signAccountKeys(account, [a.key, b.key], [stranger], null)],
      keysPin,
      'signer_unknown',
    ],
    ['is a chain of roots', [first, second], pin, 'type_not_allowed_for_key'],
  ])('is refused when it %s', (_what, chain, from, reason) => {
    expect(reasonOf(() => followAccountKeysChain(chain, from))).toBe(reason);
  });
});

function reasonOf(follow: () => unknown): string | undefined {
  try {
    follow();
    return undefined;
  } catch (error) {
    if (error instanceof DocumentError) return error.reason;
    throw error;
  }
}

describe('a successor', () => {
  const revoking =
    (...signers: Signer[]) =>
    (fingerprint: string) =>
      signers.some(({ key }) => keyFingerprint(key) === fingerprint);

  it('of account keys needs a key that was not taken back', () => {
    const [one, two] = [[keysOne], [keysOne, keysTwo]].map((chain) =>
      followAccountKeysChain(chain, keysPin),
    ) as [ReturnType<typeof followAccountKeysChain>, ReturnType<typeof followAccountKeysChain>];
    expect(() => requireUnrevokedSigners(one, two, revoking(b, c))).not.toThrow();
    expect(() => requireUnrevokedSigners(one, two, revoking(a))).toThrow('taken back');
  });

  it('of a root needs the old threshold without those that were taken back', () => {
    const [one, two] = [[first], [first, second]].map((chain) => followRootChain(chain, pin)) as [
      ReturnType<typeof followRootChain>,
      ReturnType<typeof followRootChain>,
    ];
    expect(() => requireUnrevokedSigners(one, two, revoking(a, d))).not.toThrow();
    expect(() => requireUnrevokedSigners(one, two, revoking(c))).toThrow('taken back');
  });
});
