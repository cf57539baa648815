import { beforeAll, describe, expect, it } from 'vitest';
import { documentSamples } from '../../test/fixtures/document-samples.ts';
import { createPasskey } from '../../test/fixtures/passkey.ts';
import { createTrustWorld, createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld } from '../../test/fixtures/trust-world.ts';
import { documentSchemas } from './document.ts';
import type { DocumentKind, DocumentOf } from './document.ts';
import { actionPattern, isClassWithin, matchesAction } from './fields.ts';
import { policySchema } from './kinds/policy.ts';

let world: TrustWorld;
let samples: ReturnType<typeof documentSamples>;

beforeAll(async () => {
  world = await createTrustWorld();
  samples = documentSamples(world);
});

type Change<K extends DocumentKind> = (payload: DocumentOf<K>) => object;

function isAccepted<K extends DocumentKind>(kind: K, change: Change<K>): boolean {
  const { payload } = samples[kind];
  return documentSchemas[kind].safeParse({ ...payload, ...change(payload as DocumentOf<K>) })
    .success;
}

const digest = `sha256:${'1'.repeat(64)}`;
const DAY = 24 * 3600;

describe('a root', () => {
  it.each<[string, Change<'root'>]>([
    ['a threshold over its keys', () => ({ threshold: 2 })],
    ['a threshold of nothing', () => ({ threshold: 0 })],
    ['a predecessor of version 1', () => ({ previous: digest })],
    ['no predecessor of version 2', () => ({ version: 2 })],
    ['one key twice', ({ keys }) => ({ keys: [...keys, ...keys] })],
    ['no keys', () => ({ keys: [] })],
    ['a passkey', ({ keys }) => ({ keys: [{ ...keys[0], key: createPasskey().key }] })],
    ['a right nobody knows', ({ keys }) => ({ keys: [{ ...keys[0], may: ['order'] }] })],
  ])('is refused with %s', (_what, change) => {
    expect(isAccepted('root', change)).toBe(false);
  });

  it('may say that a key signs only the next root', () => {
    expect(isAccepted('root', ({ keys }) => ({ keys: [{ ...keys[0], may: [] }] }))).toBe(true);
  });
});

describe('a certification', () => {
  it('of a lead holds for 90 days at most, that of an engineer for 7', () => {
    const lasting = (days: number) => (payload: { notBefore: number }) => ({
      expiresAt: payload.notBefore + days * DAY,
    });
    const over = (days: number) => (payload: { notBefore: number }) => ({
      expiresAt: payload.notBefore + days * DAY + 1,
    });
    expect(isAccepted('lead', lasting(90))).toBe(true);
    expect(isAccepted('lead', over(90))).toBe(false);
    expect(isAccepted('engineer', lasting(7))).toBe(true);
    expect(isAccepted('engineer', over(7))).toBe(false);
    expect(isAccepted('lead', lasting(0))).toBe(false);
    expect(isAccepted('engineer', lasting(0))).toBe(false);
  });

  it('may name a passkey', () => {
    expect(isAccepted('engineer', () => ({ keys: [createPasskey().key] }))).toBe(true);
  });

  it('names one to four keys', () => {
    const keys = Array.from({ length: 5 }, () => createWorldKey().key);
    expect(isAccepted('engineer', () => ({ keys }))).toBe(false);
    expect(isAccepted('engineer', () => ({ keys: [] }))).toBe(false);
  });
});

describe('account keys', () => {
  it.each<[string, Change<'account-keys'>]>([
    ['a single key', ({ keys }) => ({ keys: keys.slice(0, 1) })],
    ['no signing key', ({ keys }) => ({ keys: keys.map((key) => ({ ...key, use: 'recovery' })) })],
    ['one key twice', ({ keys }) => ({ keys: [keys[0], keys[0]] })],
    ['a predecessor of version 1', () => ({ previous: digest })],
    ['no predecessor of version 2', () => ({ version: 2 })],
  ])('are refused with %s', (_what, change) => {
    expect(isAccepted('account-keys', change)).toBe(false);
  });
});

describe.each(['grant', 'attestation'] as const)('a document of kind %s', (kind) => {
  it('holds for 24 hours at most', () => {
    const lasting = (seconds: number) => (payload: { notBefore: number }) => ({
      expiresAt: payload.notBefore + seconds,
    });
    expect(isAccepted(kind, lasting(DAY))).toBe(true);
    expect(isAccepted(kind, lasting(DAY + 1))).toBe(false);
    expect(isAccepted(kind, lasting(0))).toBe(false);
  });

  it.each([
    ['no server', { servers: [] }],
    ['no action', { actions: [] }],
    ['a pattern within a word', { actions: [{ pattern: 'file*' }] }],
    ['an empty list of values', { actions: [{ pattern: '*', parameters: { a: [] } }] }],
    ['an empty list of engineers', { engineers: [] }],
    ['no engineers for class C', { engineersForClassC: 0 }],
    ['a class nobody knows', { highestClass: 'D' }],
    [
      'a recipient nobody can open for',
      { credentialRecipient: { type: 'age', recipient: 'age1x' } },
    ],
    ['backups that may exist', { backupExists: true }],
  ])('is refused with %s', (_what, change) => {
    expect(isAccepted(kind, () => change)).toBe(false);
  });

  it.each([
    ['an age recipient', () => ({ type: 'age', recipient: world.agent.ageRecipient })],
    ['an SSH key', () => ({ type: 'ssh', publicKey: 'ssh-ed25519 AAAA client' })],
  ])('may name %s for new credentials', (_what, recipient) => {
    expect(isAccepted(kind, () => ({ credentialRecipient: recipient() }))).toBe(true);
  });
});

describe('an order', () => {
  it.each<[string, Change<'order'>]>([
    ['a job that is no UUID version 7', () => ({ job: '11111111-1111-4111-8111-111111111111' })],
    ['a start before it was issued', ({ issuedAt }) => ({ startBefore: issuedAt })],
    ['a start after 15 minutes', ({ issuedAt }) => ({ startBefore: issuedAt + 901 })],
    ['a plan to be planned by', () => ({ mode: 'plan', plan: digest })],
    ['an undo of nothing', () => ({ mode: 'undo' })],
    ['an apply that undoes', ({ job }) => ({ undoes: job })],
    ['a nonce of 127 bits', () => ({ nonce: 'A'.repeat(21) })],
    ['no time to run', () => ({ maxRuntimeSeconds: 0 })],
    ['over a week to run', () => ({ maxRuntimeSeconds: 7 * DAY + 1 })],
    ['a third way to lose the connection', () => ({ onDisconnect: 'ignore' })],
    ['an identity nobody knows', () => ({ expect: { colour: 'red' } })],
    ['an action that is a path', () => ({ action: '../run' })],
  ])('is refused with %s', (_what, change) => {
    expect(isAccepted('order', change)).toBe(false);
  });

  it('may plan, apply by a plan, and undo', () => {
    expect(isAccepted('order', () => ({ mode: 'plan' }))).toBe(true);
    expect(isAccepted('order', () => ({ plan: digest }))).toBe(true);
    expect(isAccepted('order', ({ job }) => ({ mode: 'undo', undoes: job }))).toBe(true);
  });
});

describe('a revocation', () => {
  it('revokes something', () => {
    expect(isAccepted('revoke', () => ({ grants: [], keys: [] }))).toBe(false);
    const keys = [`SHA256:${'A'.repeat(43)}`];
    expect(isAccepted('revoke', () => ({ grants: [], keys }))).toBe(true);
  });
});

describe('a voucher', () => {
  it('ends after it begins, and may know of no account keys', () => {
    expect(isAccepted('voucher', ({ issuedAt }) => ({ expiresAt: issuedAt }))).toBe(false);
    expect(isAccepted('voucher', () => ({ accountKeys: null }))).toBe(true);
  });
});

describe('a receipt', () => {
  it('of a refusal names a known reason, and may know of neither order nor policy', () => {
    const { job, server, agentKey, at } = samples.receipt.payload;
    const refused = {
      statement: 'refused',
      job,
      server,
      agentKey,
      at,
      order: null,
      policy: null,
      auditHead: null,
      reason: 'policy_missing',
      detail: 'no such file',
    };
    expect(documentSchemas.receipt.safeParse(refused).success).toBe(true);
    expect(documentSchemas.receipt.safeParse({ ...refused, reason: 'mood' }).success).toBe(false);
  });

  it('of an end says no less than all', () => {
    expect(isAccepted('receipt', () => ({ log: undefined }))).toBe(false);
    expect(isAccepted('receipt', () => ({ exitStatus: 256 }))).toBe(false);
    expect(isAccepted('receipt', () => ({ outcome: 'fine' }))).toBe(false);
  });
});

describe('a policy', () => {
  it('allows nothing by default', () => {
    expect(policySchema.parse({ version: 1 })).toEqual({
      version: 1,
      allow: [],
      deny: [],
      'highest-class': 'A',
      'engineers-for-class-c': 1,
      'engineers-for-class-c-attested': 2,
      'record-terminal-input': false,
      'allow-steps-without-undo': false,
    });
  });

  it.each([
    ['no version', {}],
    ['another version', { version: 2 }],
    ['a word it does not know', { version: 1, alow: ['*'] }],
    ['a pattern that is none', { version: 1, allow: ['**'] }],
    ['no engineers for class C', { version: 1, 'engineers-for-class-c': 0 }],
  ])('is refused with %s', (_what, policy) => {
    expect(policySchema.safeParse(policy).success).toBe(false);
  });
});

describe('patterns', () => {
  it.each([
    ['*', 'command.run', true],
    ['command.*', 'command.run', true],
    ['command.run', 'command.run', true],
    ['command.run', 'command.runs', false],
    ['comm.*', 'command.run', false],
    ['run.*', 'command.run', false],
  ])('%s matching %s: %s', (pattern, action, matches) => {
    expect(actionPattern.safeParse(pattern).success).toBe(true);
    expect(matchesAction(pattern, action)).toBe(matches);
  });

  it.each(['', '.*', 'a.', '*.*', 'a.b.c', 'A.b', 'a.b*', 'a b.c'])('%j is none', (pattern) => {
    expect(actionPattern.safeParse(pattern).success).toBe(false);
  });
});

describe('classes', () => {
  it('rise from A to C', () => {
    const order = ['A', 'B', 'C'] as const;
    const within = order.map((actual) => order.map((highest) => isClassWithin(actual, highest)));
    expect(within).toEqual([
      [true, true, true],
      [false, true, true],
      [false, false, true],
    ]);
  });
});
