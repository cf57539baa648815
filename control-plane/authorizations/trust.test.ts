import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addSignature, digestOf, signDocument } from '../../proto/documents/document.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import type { ApiPerson, TestApi } from '../../test/fixtures/http-api.ts';
import { codeOf, hand, setTrustScene, wokenDuring } from '../../test/fixtures/trust-scene.ts';
import type { TrustScene } from '../../test/fixtures/trust-scene.ts';
import { createTrustWorld, createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld, WorldPerson } from '../../test/fixtures/trust-world.ts';
import { readChain } from '../audit/audit-store.ts';
import { verifyChain } from '../audit/verify-chain.ts';
import { certifiedKeysOf, readCertifications } from './certifications.ts';

const test = useTestDatabase();
let scene: TrustScene;
let api: TestApi;
let admin: ApiPerson;
let engineer: ApiPerson;
let acme: TrustScene['acme'];
let bolt: TrustScene['bolt'];
let world: TrustWorld;
let lead: WorldPerson;
let certified: WorldPerson;

interface Document {
  digest: string;
  kind: string;
  version: number | null;
}

const ROOT = '/api/v1/trust/root';
const CERTIFICATIONS = '/api/v1/trust/certifications';

beforeAll(async () => {
  scene = await setTrustScene(test.database);
  ({ api, admin, engineer, acme, bolt, world, lead, certified } = scene);
});
afterAll(() => api.close());

describe('the operator root', () => {
  it('does not exist at first, and nobody can be certified before', async () => {
    expect((await admin.get(ROOT)).body).toEqual({ items: [], next: null });
    const early = await hand(admin, CERTIFICATIONS, lead.envelope);
    expect(codeOf(early)).toEqual([409, 'root_missing']);
  });

  it('is refused when its own keys did not sign it, or it begins in the middle', async () => {
    const stranger = createWorldKey();
    const payload = {
      version: 1,
      previous: null,
      issuedAt: world.now,
      threshold: 1,
      keys: [{ key: world.root.key, name: 'root', may: ['lead' as const] }],
    };
    const forged = signDocument('root', payload, [stranger.signer]);
    expect(codeOf(await hand(admin, ROOT, forged))).toEqual([400, 'signer_unknown']);
    const second = { ...payload, version: 2, previous: digestOf(forged) };
    const middle = signDocument('root', second, [world.root.signer]);
    const answer = await hand(admin, ROOT, middle);
    expect(answer.status).toBe(400);
    expect((await admin.get<{ items: [] }>(ROOT)).body.items).toEqual([]);
  });

  it('is accepted once, and handing it in again changes nothing', async () => {
    const first = await hand<Document>(admin, ROOT, world.root.envelope);
    expect(first).toMatchObject({ status: 201, body: { digest: world.root.digest, version: 1 } });
    expect((await hand(admin, ROOT, world.root.envelope)).status).toBe(201);
    expect((await engineer.get<{ items: Document[] }>(ROOT)).body.items).toHaveLength(1);
  });

  it('cannot be replaced by another first one', async () => {
    const other = await createTrustWorld();
    expect((await hand(admin, ROOT, other.root.envelope)).status).toBe(400);
  });
});

describe('certifications', () => {
  it('are accepted from the root and from leads, for people of the provider', async () => {
    const foreign = world.certify('lead', world.root.signer);
    expect(codeOf(await hand(admin, CERTIFICATIONS, foreign.envelope))).toEqual([
      404,
      'person_not_found',
    ]);
    const client = world.certify('lead', world.root.signer, {
      person: acme.client.caller.personId,
    });
    expect((await hand(admin, CERTIFICATIONS, client.envelope)).status).toBe(404);
    for (const person of [lead, certified]) {
      expect((await hand(engineer, CERTIFICATIONS, person.envelope)).status).toBe(201);
    }
    expect((await readCertifications(test.database)).map((row) => row.kind)).toEqual([
      'lead',
      'engineer',
    ]);
    const keys = await certifiedKeysOf(test.database, engineer.caller.personId);
    expect(keys).toEqual([certified.key]);
  });

  it('are refused from anybody else, and when their time is over', async () => {
    const person = engineer.caller.personId;
    const byEngineer = world.certify('engineer', certified.signer, { person });
    expect(codeOf(await hand(engineer, CERTIFICATIONS, byEngineer.envelope))).toEqual([
      400,
      'signer_unknown',
    ]);
    const byLead = world.certify('lead', lead.signer, { person });
    expect((await hand(engineer, CERTIFICATIONS, byLead.envelope)).status).toBe(400);
    const old = world.certify('engineer', lead.signer, {
      person,
      notBefore: world.now - 7200,
      expiresAt: world.now - 3600,
    });
    expect(codeOf(await hand(engineer, CERTIFICATIONS, old.envelope))).toEqual([
      400,
      'certification_expired',
    ]);
  });

  it('are refused for a key that another person is certified with, also when both come at once', async () => {
    const [one, two] = [await api.person('engineer'), await api.person('engineer')];
    const taken = world.certify('engineer', lead.signer, {
      person: one.caller.personId,
      keys: [createWorldKey().key, certified.key],
    });
    const refused = await hand(engineer, CERTIFICATIONS, taken.envelope);
    expect(codeOf(refused)).toEqual([409, 'key_of_another_person']);
    expect(JSON.stringify(refused.body)).toContain(certified.fingerprint);
    expect(await certifiedKeysOf(test.database, one.caller.personId)).toEqual([]);

    const keys = [createWorldKey().key];
    const both = [one, two].map(({ caller }) =>
      world.certify('engineer', lead.signer, { person: caller.personId, keys }),
    );
    const answers = await Promise.all(
      both.map(({ envelope }) => hand(engineer, CERTIFICATIONS, envelope)),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201, 409]));

    const again = world.certify('engineer', lead.signer, {
      person: engineer.caller.personId,
      keys: [certified.key],
    });
    expect((await hand(engineer, CERTIFICATIONS, again.envelope)).status).toBe(201);
  });

  it('count only while they hold', async () => {
    const later = new Date((world.now + 12 * 3600) * 1000);
    const earlier = new Date((world.now - 2 * 3600) * 1000);
    expect(await readCertifications(test.database, later)).toEqual([]);
    expect(await readCertifications(test.database, earlier)).toEqual([]);
  });
});

describe('account keys', () => {
  const keysPath = () => `/api/v1/accounts/${acme.id}/keys`;

  it('are handed in by a client of the account, for that account', async () => {
    const other = (await createTrustWorld()).account.envelope;
    expect(codeOf(await hand(acme.client, keysPath(), other))).toEqual([400, 'account_mismatch']);
    expect((await hand(bolt.client, keysPath(), world.account.envelope)).status).toBe(404);
    const woken = await wokenDuring(api.bus, acme.id, async () => {
      const answer = await hand<Document>(acme.client, keysPath(), world.account.envelope);
      expect(answer).toMatchObject({ status: 201, body: { kind: 'account-keys', version: 1 } });
    });
    expect(woken).toBe(1);
  });

  it('are replaced only by a document that one of them signed', async () => {
    const next = createWorldKey();
    const payload = {
      account: acme.id,
      version: 2,
      previous: world.account.digest,
      issuedAt: world.now,
      keys: [
        { key: world.account.signing.key, name: 'laptop', use: 'signing' as const },
        { key: next.key, name: 'phone', use: 'signing' as const },
      ],
    };
    const forged = signDocument('account-keys', payload, [next.signer]);
    expect(codeOf(await hand(acme.client, keysPath(), forged))).toEqual([400, 'signer_unknown']);
    const recovered = signDocument('account-keys', payload, [world.account.recovery.signer]);
    expect((await hand(acme.client, keysPath(), recovered)).status).toBe(201);
    const chain = await acme.client.get<{ items: Document[] }>(keysPath());
    expect(chain.body.items.map((row) => row.version)).toEqual([1, 2]);
    expect((await bolt.client.get(keysPath())).status).toBe(404);
  });

  it('of two that follow the same version at once, one is accepted', async () => {
    const chain = await acme.client.get<{ items: Document[] }>(keysPath());
    const [a, b] = ['a', 'b'].map((name) =>
      signDocument(
        'account-keys',
        {
          account: acme.id,
          version: 3,
          previous: chain.body.items.at(-1)!.digest,
          issuedAt: world.now,
          keys: [
            { key: world.account.signing.key, name, use: 'signing' as const },
            { key: world.account.recovery.key, name: 'paper', use: 'recovery' as const },
          ],
        },
        [world.account.signing.signer],
      ),
    );
    const answers = await Promise.all([
      hand(acme.client, keysPath(), a!),
      hand(acme.client, keysPath(), b!),
    ]);
    expect(answers.map((answer) => answer.status).toSorted((x, y) => x - y)).toEqual([201, 400]);
  });
});

describe('account keys of which one was taken back', () => {
  it('are not replaced by that one, and are by another', async () => {
    const path = `/api/v1/accounts/${acme.id}/keys`;
    const { signing, recovery } = world.account;
    const revoke = world.signRevoke({ keys: [signing.fingerprint] }, [recovery.signer]);
    expect((await hand(acme.client, '/api/v1/revocations', revoke.envelope)).status).toBe(201);
    const { items } = (await acme.client.get<{ items: Document[] }>(path)).body;
    const next = createWorldKey();
    const payload = {
      account: acme.id,
      version: items.length + 1,
      previous: items.at(-1)!.digest,
      issuedAt: world.now,
      keys: [
        { key: next.key, name: 'next', use: 'signing' as const },
        { key: recovery.key, name: 'paper', use: 'recovery' as const },
      ],
    };
    const byThief = signDocument('account-keys', payload, [signing.signer]);
    expect(codeOf(await hand(acme.client, path, byThief))).toEqual([400, 'revoked']);
    const byOwner = signDocument('account-keys', payload, [recovery.signer]);
    expect((await hand(acme.client, path, byOwner)).status).toBe(201);
  });
});

describe('a new root', () => {
  it('needs the thresholds of the old and the new one, and ends what only the old one signed', async () => {
    const next = createWorldKey();
    const payload = {
      version: 2,
      previous: world.root.digest,
      issuedAt: world.now,
      threshold: 1,
      keys: [{ key: next.key, name: 'next', may: ['lead' as const, 'engineer' as const] }],
    };
    const person = engineer.caller.personId;
    const byOld = world.certify('lead', world.root.signer, { person });
    expect((await hand(admin, CERTIFICATIONS, byOld.envelope)).status).toBe(201);

    const half = signDocument('root', payload, [next.signer]);
    expect((await hand(admin, ROOT, half)).status).toBe(400);
    const whole = addSignature(half, world.root.signer);
    expect((await hand<Document>(admin, ROOT, whole)).body).toMatchObject({ version: 2 });
    expect(await readCertifications(test.database)).toEqual([]);
    const byNew = world.certify('engineer', next.signer, { person });
    expect((await hand(admin, CERTIFICATIONS, byNew.envelope)).status).toBe(201);
  });

  it('and all else stands in unbroken chains', async () => {
    for (const chain of ['operator', `account:${acme.id}`]) {
      const entries = await readChain(test.database, chain);
      expect(entries.length).toBeGreaterThan(3);
      expect(verifyChain(entries, { chain })).toMatchObject({ intact: true });
    }
  });
});
