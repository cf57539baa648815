import { describe, expect, it } from 'vitest';
import { signRoot } from '../../test/fixtures/chains.ts';
import { createTrustWorld, createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { WorldPerson } from '../../test/fixtures/trust-world.ts';
import { addSignature, DocumentError, openDocument } from '../../proto/documents/document.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';
import type { Root } from '../../proto/documents/kinds/root.ts';
import { CertifiedPeople } from './certified-people.ts';

const world = await createTrustWorld();
const { now } = world;
const HOUR = 3600;

const [first, second] = [createWorldKey(), createWorldKey()];
const rootOf = (...may: Root['keys'][number]['may'][]) =>
  openDocument(
    'root',
    signRoot([first.signer, second.signer], [first.signer], null, {
      keys: [first, second].map(({ key }, index) => ({
        key,
        name: `root ${index}`,
        may: may[index % may.length]!,
      })),
    }),
    [first.key],
  );
const root = rootOf(['lead', 'engineer']);

const lead = (changes: object = {}, by = first) => world.certify('lead', by.signer, changes);
const engineer = (by: WorldPerson, changes: object = {}) =>
  world.certify('engineer', by.signer, changes);

interface Question {
  at?: number;
  revoked?: string[];
  root?: typeof root;
}

/** The role in which the key may sign, or the reason why not. */
function standing(documents: { envelope: Uint8Array }[], key: PublicKey, asked: Question = {}) {
  const envelopes = documents.map(({ envelope }) => envelope);
  try {
    const people = CertifiedPeople.open(envelopes, asked.root ?? root);
    const isRevoked = (id: string) => asked.revoked?.includes(id) === true;
    return people.certify(key, asked.at ?? now, isRevoked).role;
  } catch (error) {
    if (error instanceof DocumentError) return error.reason;
    throw error;
  }
}

describe('somebody certified', () => {
  it.each([
    ['60 s before it begins', -HOUR - 60, 'engineer'],
    ['a second earlier', -HOUR - 61, 'certification_expired'],
    ['in its last second', HOUR - 1, 'engineer'],
    ['when it ends', HOUR, 'certification_expired'],
  ])('may sign by the time of the certification: %s', (_what, seconds, expected) => {
    const window = { notBefore: now - HOUR, expiresAt: now + HOUR };
    const long = lead({ notBefore: now - 10 * HOUR });
    const short = lead(window);
    const at = now + seconds;
    const one = engineer(long, window);
    expect(standing([long, one], one.key, { at })).toBe(expected);
    const other = engineer(short, { notBefore: now - 10 * HOUR });
    expect(standing([short, other], other.key, { at })).toBe(expected);
  });

  it('is known by name, role and key', () => {
    const one = lead({ name: 'Lea' });
    const people = CertifiedPeople.open([one.envelope], root);
    const { person, key, fingerprint } = one;
    const expected = { person, name: 'Lea', role: 'lead', key, fingerprint };
    expect(people.certify(key, now, () => false)).toEqual(expected);
    expect(people.personOf(fingerprint)).toBe(person);
    expect(people.personOf(first.fingerprint)).toBeUndefined();
  });

  it('is nobody without a certification', () => {
    const one = lead();
    expect(standing([one], createWorldKey().key)).toBe('signer_unknown');
    expect(standing([], one.key)).toBe('signer_unknown');
  });

  it('by two leads stands as long as one of them does', () => {
    const [one, two] = [lead(), lead({ expiresAt: now + HOUR }, second)];
    const both = engineer(one);
    const documents = [one, two, { envelope: addSignature(both.envelope, two.signer) }];
    const ask = (asked: Question) => standing(documents, both.key, asked);
    expect(ask({})).toBe('engineer');
    expect(ask({ revoked: [one.fingerprint] })).toBe('engineer');
    expect(ask({ revoked: [two.fingerprint] })).toBe('engineer');
    expect(ask({ revoked: [one.fingerprint, second.fingerprint] })).toBe('revoked');
    expect(ask({ revoked: [one.fingerprint, two.fingerprint] })).toBe('revoked');
    expect(ask({ at: now + 2 * HOUR })).toBe('engineer');
    expect(ask({ at: now + 2 * HOUR, revoked: [one.fingerprint] })).toBe('revoked');
  });

  it('by a lead whom two root keys certified stands as long as one of those does', () => {
    const one = lead();
    const both = { envelope: addSignature(one.envelope, second.signer) };
    const person = engineer(one);
    const ask = (revoked: string[]) => [
      standing([both, person], person.key, { revoked }),
      standing([both, person], one.key, { revoked }),
    ];
    expect(ask([first.fingerprint])).toEqual(['engineer', 'lead']);
    expect(ask([first.fingerprint, second.fingerprint])).toEqual(['revoked', 'revoked']);
  });

  it('and revoked is nobody, by whomever he was certified', () => {
    const one = lead();
    const person = engineer(one);
    const direct = world.certify('engineer', first.signer, {
      person: person.person,
      keys: [person.key],
    });
    const revoked = [person.fingerprint];
    expect(standing([one, person, direct], person.key, { revoked })).toBe('revoked');
    expect(standing([one, person, direct], person.key, { revoked: [one.fingerprint] })).toBe(
      'engineer',
    );
  });

  it('by a root key is so only as far as that key may', () => {
    const one = lead();
    const direct = world.certify('engineer', first.signer);
    const indirect = engineer(one);
    const documents = [one, direct, indirect];
    const roles = (asked: Question) =>
      [one, direct, indirect].map(({ key }) => standing(documents, key, asked));
    expect(roles({ root: rootOf(['lead'], []) })).toEqual(['lead', 'signer_unknown', 'engineer']);
    expect(roles({ root: rootOf(['engineer'], []) })).toEqual([
      'signer_unknown',
      'engineer',
      'signer_unknown',
    ]);
    expect(roles({ root: rootOf([], ['lead', 'engineer']) })).toEqual(
      Array.from({ length: 3 }, () => 'signer_unknown'),
    );
  });

  it('by a root key that is also a lead counts by the time of the lead', () => {
    const both = lead({ keys: [first.key], expiresAt: now + HOUR }, second);
    const person = world.certify('engineer', first.signer);
    const leads = { root: rootOf(['lead']) };
    expect(standing([both, person], person.key, leads)).toBe('engineer');
    expect(standing([both, person], person.key, { ...leads, at: now + 2 * HOUR })).toBe(
      'certification_expired',
    );
  });

  it('is forgotten with the root, however often it was seen', () => {
    const one = lead();
    for (const by of [root, rootOf(['engineer']), root]) {
      const expected = by === root ? 'lead' : 'signer_unknown';
      expect(standing([one], one.key, { root: by })).toBe(expected);
    }
    const bothSigned = { envelope: addSignature(one.envelope, second.signer) };
    expect(standing([bothSigned], one.key)).toBe('lead');
    expect(standing([bothSigned], one.key, { root: rootOf(['lead'], []) })).toBe('signer_unknown');
  });

  it('by a key that two people are certified for is nobody, and the others are who they are', () => {
    const [one, two] = [lead(), lead()];
    const [person, other] = [engineer(one), engineer(two)];
    const same = engineer(one, { keys: [person.key] });
    const documents = [one, two, person, other, same];
    expect(standing(documents, person.key)).toBe('signer_unknown');
    expect([one, two, other].map(({ key }) => standing(documents, key))).toEqual([
      'lead',
      'lead',
      'engineer',
    ]);
    const people = CertifiedPeople.open(
      documents.map(({ envelope }) => envelope),
      root,
    );
    expect(() => people.personOf(person.fingerprint)).toThrow('certified for two people');
    expect(people.personOf(other.fingerprint)).toBe(other.person);

    const twice = lead({ keys: [one.key] });
    const led = [one, two, twice, person, other];
    expect(standing(led, one.key)).toBe('signer_unknown');
    expect(standing(led, person.key)).toBe('certification_expired');
    expect(standing(led, other.key)).toBe('engineer');
  });

  it('is found among more certifications than are remembered', () => {
    const one = lead();
    const others = Array.from({ length: 150 }, () => engineer(one));
    const found = others.map((other) => standing([one, other], other.key));
    expect(new Set(found)).toEqual(new Set(['engineer']));
    expect(standing([one, others[0]!], others[0]!.key)).toBe('engineer');
  });
});
