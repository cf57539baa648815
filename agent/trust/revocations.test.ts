import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { trustStateOf } from '../../test/fixtures/agent-trust.ts';
import { signRoot } from '../../test/fixtures/chains.ts';
import { createTrustWorld, createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld } from '../../test/fixtures/trust-world.ts';
import type { Signer } from '../../proto/documents/keys.ts';
import { openDocument } from '../../proto/documents/document.ts';
import { Revocations, RevocationsError, SIGNED_KEEP_SECONDS } from './revocations.ts';
import { revokersOf } from './revokers.ts';
import type { Revokers } from './revokers.ts';

let world: TrustWorld;
let revokers: Revokers;
let folder: string;
let file: string;
beforeAll(async () => {
  world = await createTrustWorld();
  revokers = revokersOf(trustStateOf(world), []);
});
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'ivrv-'));
  file = path.join(folder, 'revocations.json');
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const list = (ids: string[] = [], documents: Uint8Array[] = []) => ({ ids, documents });
const revoke = (grant: string, changes: object = {}, signer = world.account.signing.signer) =>
  world.signRevoke({ grants: [grant], ...changes }, [signer]).envelope;

describe('the list of revocations', () => {
  it('is empty at first', async () => {
    const revocations = await Revocations.open(file);
    expect(revocations.isRevoked(randomUUID())).toBe(false);
    expect(revocations.stopMode(randomUUID())).toBeNull();
  });

  it('names grants and keys, also after a restart', async () => {
    const ids = [randomUUID(), world.engineers[0].fingerprint];
    await (await Revocations.open(file)).replace(list(ids), revokers, world.now);
    const loaded = await Revocations.open(file);
    expect(ids.map((id) => loaded.isRevoked(id))).toEqual([true, true]);
    expect(loaded.stopMode(ids[0]!)).toBe('now');
  });

  it('is in force before it is on disk', async () => {
    const revocations = await Revocations.open(file);
    const id = randomUUID();
    const written = revocations.replace(list([id]), revokers, world.now);
    expect(revocations.isRevoked(id)).toBe(true);
    await written;
  });

  it('is in force also when it cannot be written', async () => {
    const revocations = await Revocations.open(file);
    await mkdir(file);
    const id = randomUUID();
    await expect(revocations.replace(list([id]), revokers, world.now)).rejects.toThrow(/./);
    expect(revocations.isRevoked(id)).toBe(true);
    await rm(file, { recursive: true });
    await revocations.replace(list([id]), revokers, world.now);
    expect((await Revocations.open(file)).isRevoked(id)).toBe(true);
  });

  it('is replaced whole by the next one', async () => {
    const [one, two] = [randomUUID(), randomUUID()];
    const revocations = await Revocations.open(file);
    await revocations.replace(list([one]), revokers, world.now);
    await revocations.replace(list([two]), revokers, world.now);
    expect(revocations.isRevoked(one)).toBe(false);
    expect(revocations.isRevoked(two)).toBe(true);
    expect(revocations.generation).toBe(2);
  });

  it('passes over names that are none', async () => {
    const revocations = await Revocations.open(file);
    await revocations.replace(list(['', 'x'.repeat(9999), '__proto__']), revokers, world.now);
    expect(revocations.isRevoked('__proto__')).toBe(false);
    expect((await Revocations.open(file)).isRevoked('')).toBe(false);
  });

  it('in two versions at once ends as the second', async () => {
    const [one, two] = [randomUUID(), randomUUID()];
    const revocations = await Revocations.open(file);
    await Promise.all([
      revocations.replace(list([one]), revokers, world.now),
      revocations.replace(list([two]), revokers, world.now),
    ]);
    const loaded = await Revocations.open(file);
    expect([loaded.isRevoked(one), loaded.isRevoked(two)]).toEqual([false, true]);
  });

  it.each(['', 'junk', '{}', '{"ids":["x"],"signed":[]}', '{"ids":[],"signed":["AAAA"]}'])(
    'is refused when its file is %j',
    async (text) => {
      await writeFile(file, text);
      await expect(Revocations.open(file)).rejects.toThrow(RevocationsError);
    },
  );

  it('is refused when its file cannot be read', async () => {
    await expect(Revocations.open(folder)).rejects.toThrow(RevocationsError);
  });
});

describe('a signed revocation', () => {
  it.each([
    ['the account', () => world.account.signing.signer],
    ['the recovery key of the account', () => world.account.recovery.signer],
    ['the operator', () => world.root.signer],
  ])('by %s outlasts a list that no longer mentions it', async (_what, signer) => {
    const grant = randomUUID();
    const revocations = await Revocations.open(file);
    await revocations.replace(list([], [revoke(grant, {}, signer())]), revokers, world.now);
    await revocations.replace(list(), revokers, world.now + 1000);
    expect(revocations.isRevoked(grant)).toBe(true);
    const loaded = await Revocations.open(file);
    await loaded.replace(list(), revokers, world.now + 2000);
    expect(loaded.isRevoked(grant)).toBe(true);
  });

  it.each([
    ['an engineer', () => world.engineers[0].signer],
    ['a stranger', () => createWorldKey().signer],
  ])('by %s holds as long as the list brings it', async (_what, signer) => {
    const grant = randomUUID();
    const revocations = await Revocations.open(file);
    await revocations.replace(list([], [revoke(grant, {}, signer())]), revokers, world.now);
    expect(revocations.isRevoked(grant)).toBe(true);
    await revocations.replace(list(), revokers, world.now);
    expect(revocations.isRevoked(grant)).toBe(false);
  });

  it('by a root key that may not revoke is unsigned', async () => {
    const key = createWorldKey();
    const keys = [{ key: key.key, name: 'root', may: ['lead' as const] }];
    const envelope = signRoot([key.signer], [key.signer], null, { keys });
    const root = openDocument('root', envelope, [key.key]);
    const grant = randomUUID();
    const revocations = await Revocations.open(file);
    const documents = [revoke(grant, {}, key.signer)];
    const others = revokersOf({ root, accountKeys: null }, []);
    await revocations.replace(list([], documents), others, world.now);
    await revocations.replace(list(), others, world.now);
    expect(revocations.isRevoked(grant)).toBe(false);
  });

  describe('by the provider’s people, whose certifications came with it', () => {
    const signedBy = (signer: Signer, changes: object) =>
      world.signRevoke(changes, [signer]).envelope;
    const [ana, ben] = [() => world.engineers[0], () => world.engineers[1]];
    /** Whether it outlasts the list that brought it. */
    async function lasts(envelope: Uint8Array, id: string, certifications = world.certifications) {
      const revocations = await Revocations.open(file);
      const people = revokersOf(trustStateOf(world), certifications);
      await revocations.replace(list([], [envelope]), people, world.now);
      expect(revocations.isRevoked(id)).toBe(true);
      await revocations.replace(list(), revokers, world.now + 1);
      const held = revocations.isRevoked(id);
      expect((await Revocations.open(file)).isRevoked(id)).toBe(held);
      return held;
    }

    it('outlasts the list when a lead takes the key of an engineer back', async () => {
      const { fingerprint } = ben();
      const envelope = signedBy(world.lead.signer, { keys: [fingerprint] });
      expect(await lasts(envelope, fingerprint)).toBe(true);
    });

    it('outlasts it when an engineer takes the own key or a grant back', async () => {
      const { fingerprint, signer } = ana();
      expect(await lasts(signedBy(signer, { keys: [fingerprint] }), fingerprint)).toBe(true);
      const grant = randomUUID();
      expect(await lasts(signedBy(ben().signer, { grants: [grant] }), grant)).toBe(true);
    });

    it('does not when an engineer names the key of somebody else', async () => {
      const { fingerprint } = world.lead;
      expect(await lasts(signedBy(ana().signer, { keys: [fingerprint] }), fingerprint)).toBe(false);
    });

    it.each([
      ['the client', () => world.account.signing.fingerprint],
      ['the operator', () => world.root.fingerprint],
    ])('does not when a lead names a key of %s', async (_whose, key) => {
      expect(await lasts(signedBy(world.lead.signer, { keys: [key()] }), key())).toBe(false);
    });

    it('does not when the certification is not there, damaged, over, or revoked before', async () => {
      const { fingerprint } = ben();
      const envelope = signedBy(world.lead.signer, { keys: [fingerprint] });
      expect(await lasts(envelope, fingerprint, [])).toBe(false);
      expect(await lasts(envelope, fingerprint, [Buffer.from('junk')])).toBe(false);
      const former = world.certify('lead', world.root.signer, { expiresAt: world.now - 1 });
      const late = signedBy(former.signer, { keys: [fingerprint] });
      const documents = [...world.certifications, Buffer.from(former.envelope)];
      expect(await lasts(late, fingerprint, documents)).toBe(false);
      const sent = signedBy(world.root.signer, { keys: [world.lead.fingerprint] });
      const revocations = await Revocations.open(file);
      const people = revokersOf(trustStateOf(world), world.certifications);
      await revocations.replace(list([], [sent, envelope]), people, world.now);
      await revocations.replace(list(), people, world.now);
      expect(revocations.isRevoked(fingerprint)).toBe(false);
    });
  });

  it('takes keys back, too', async () => {
    const { fingerprint } = world.engineers[1];
    const { envelope } = world.signRevoke({ keys: [fingerprint] }, [world.root.signer]);
    const revocations = await Revocations.open(file);
    await revocations.replace(list([], [envelope]), revokers, world.now);
    expect(revocations.isRevoked(fingerprint)).toBe(true);
  });

  it('is forgotten when it can matter no more', async () => {
    const grant = randomUUID();
    const revocations = await Revocations.open(file);
    await revocations.replace(list([], [revoke(grant)]), revokers, world.now);
    const late = world.now + SIGNED_KEEP_SECONDS;
    await revocations.replace(list(), revokers, late - 1);
    expect(revocations.isRevoked(grant)).toBe(true);
    await revocations.replace(list(), revokers, late);
    expect(revocations.isRevoked(grant)).toBe(false);
  });

  it('is kept once, however often it comes', async () => {
    const document = revoke(randomUUID());
    const revocations = await Revocations.open(file);
    await revocations.replace(list([], [document, document]), revokers, world.now);
    await revocations.replace(list([], [document]), revokers, world.now);
    const { signed } = JSON.parse(await readFile(file, 'utf8')) as { signed: string[] };
    expect(signed).toHaveLength(1);
  });

  it('beside junk is obeyed all the same', async () => {
    const grant = randomUUID();
    const documents = [Buffer.from('junk'), world.signOrder().envelope, revoke(grant)];
    const revocations = await Revocations.open(file);
    await revocations.replace(list([], documents), revokers, world.now);
    expect(revocations.isRevoked(grant)).toBe(true);
  });

  it('lets the running step end when everybody who signed says so', async () => {
    const [gentle, firm, told] = [randomUUID(), randomUUID(), randomUUID()];
    const revocations = await Revocations.open(file);
    const documents = [
      revoke(gentle, { afterStep: true }),
      revoke(firm, { afterStep: true }),
      revoke(firm, { afterStep: false }),
    ];
    await revocations.replace(list([gentle, firm, told], documents), revokers, world.now);
    expect(revocations.stopMode(gentle)).toBe('after_step');
    expect(revocations.stopMode(firm)).toBe('now');
    expect(revocations.stopMode(told)).toBe('now');
  });
});
