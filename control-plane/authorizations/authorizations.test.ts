import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addSignature, digestOf, signDocument } from '../../proto/documents/document.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { createTestApi } from '../../test/fixtures/http-api.ts';
import type { Answer, ApiPerson, ErrorBody, TestApi } from '../../test/fixtures/http-api.ts';
import { createTrustWorld, createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld, WorldPerson } from '../../test/fixtures/trust-world.ts';
import { readChain } from '../audit/audit-store.ts';
import { verifyChain } from '../audit/verify-chain.ts';
import { certifiedKeysOf, readCertifications } from './certifications.ts';
import { revocationsFor } from './revocation-store.ts';

const test = useTestDatabase();
let api: TestApi;
let admin: ApiPerson;
let engineer: ApiPerson;
let acme: Awaited<ReturnType<TestApi['account']>>;
let bolt: Awaited<ReturnType<TestApi['account']>>;
let world: TrustWorld;
let lead: WorldPerson;
let certified: WorldPerson;

interface Document {
  digest: string;
  kind: string;
  version: number | null;
}
interface Grant {
  id: string;
  number: number;
  state: string;
  kind: string;
  servers: { name: string }[];
  revokedAt: string | null;
}

const sent = (envelope: Uint8Array) => ({ envelope: Buffer.from(envelope).toString('base64') });
const codeOf = (answer: Answer<unknown>) => [
  answer.status,
  (answer.body as Partial<ErrorBody>).error?.code,
];
const hand = <T>(person: ApiPerson, path: string, envelope: Uint8Array) =>
  person.post<T & ErrorBody>(path, sent(envelope));
const ROOT = '/api/v1/trust/root';
const CERTIFICATIONS = '/api/v1/trust/certifications';

/** What an id on the bus was woken for while `work` ran. */
async function wokenDuring(id: string, work: () => Promise<unknown>): Promise<number> {
  let woken = 0;
  const stop = api.bus.subscribe('account', id, () => woken++);
  await work();
  stop();
  return woken;
}

beforeAll(async () => {
  api = createTestApi(test.database);
  admin = await api.person('admin');
  engineer = await api.person('engineer');
  acme = await api.account('acme');
  bolt = await api.account('bolt');
  const server = await acme.client.post<{ id: string }>('/api/v1/servers', { name: 'web-04' });
  world = await createTrustWorld({ accountId: acme.id, serverId: server.body.id });
  const leadPerson = await api.person('engineer');
  lead = world.certify('lead', world.root.signer, { person: leadPerson.caller.personId });
  certified = world.certify('engineer', lead.signer, { person: engineer.caller.personId });
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
    const woken = await wokenDuring(acme.id, async () => {
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

describe('grants', () => {
  const GRANTS = '/api/v1/grants';

  it('signed by the account are stored, numbered as people say them, and found again', async () => {
    const signed = world.signGrant();
    let grant: Grant | undefined;
    const woken = await wokenDuring(acme.id, async () => {
      const answer = await hand<Grant>(acme.client, GRANTS, signed.envelope);
      expect(answer.status).toBe(201);
      grant = answer.body;
    });
    expect(woken).toBe(1);
    expect(grant).toMatchObject({ number: 301, state: 'valid', servers: [{ name: 'web-04' }] });
    for (const reference of ['G-301', 'g-301', '301', grant!.id, grant!.id.slice(-6)]) {
      for (const person of [acme.client, engineer, admin]) {
        expect((await person.get<Grant>(`${GRANTS}/${reference}`)).body.id).toBe(grant!.id);
      }
      expect((await bolt.client.get(`${GRANTS}/${reference}`)).status).toBe(404);
    }
    const again = await hand<Grant>(acme.client, GRANTS, signed.envelope);
    expect(again).toMatchObject({ status: 201, body: { number: 301 } });
    expect((await hand(bolt.client, GRANTS, signed.envelope)).status).not.toBe(201);
  });

  it('are refused with every flaw, and nothing of them is stored', async () => {
    const before = await test.database.query('select count(*) as count from grants');
    const refused: [string, number, Uint8Array, ApiPerson?][] = [
      ['signer_unknown', 400, world.signGrant({}, [createWorldKey().signer]).envelope],
      ['signer_unknown', 400, world.signGrant({}, [world.account.recovery.signer]).envelope],
      ['account_mismatch', 400, world.signGrant({ account: bolt.id }).envelope],
      [
        'server_not_found',
        404,
        world.signGrant({ servers: [{ id: randomUUID(), name: 'web-04' }] }).envelope,
      ],
      [
        'grant_expired',
        400,
        world.signGrant({ notBefore: world.now - 60, expiresAt: world.now - 1 }).envelope,
      ],
      ['type_not_allowed_for_key', 403, world.signGrant().envelope, engineer],
      ['type_not_allowed_for_key', 403, world.signAttestation().envelope],
      ['type_not_allowed_for_key', 400, world.signOrder().envelope],
      ['envelope_malformed', 400, Buffer.from('{}')],
      ['account_keys_missing', 409, world.signGrant().envelope, bolt.client],
      ['text_not_storable', 400, world.signGrant({ shownText: 'a\u0000b' }).envelope],
    ];
    for (const [code, status, envelope, person = acme.client] of refused) {
      expect(codeOf(await hand(person, GRANTS, envelope))).toEqual([status, code]);
    }
    expect(await test.database.query('select count(*) as count from grants')).toEqual(before);
  });

  it('cannot name a server of another account', async () => {
    const foreign = await bolt.client.post<{ id: string }>('/api/v1/servers', { name: 'theirs' });
    const both = world.signGrant({
      servers: [
        { id: world.server.id, name: 'web-04' },
        { id: foreign.body.id, name: 'theirs' },
      ],
    });
    expect(codeOf(await hand(acme.client, GRANTS, both.envelope))).toEqual([
      404,
      'server_not_found',
    ]);
  });

  it('with an id that is used are refused', async () => {
    const first = world.signGrant();
    expect((await hand(acme.client, GRANTS, first.envelope)).status).toBe(201);
    const second = world.signGrant({ id: first.payload.id, ticket: 'T-2' });
    expect(codeOf(await hand(acme.client, GRANTS, second.envelope))).toEqual([409, 'grant_exists']);
  });

  it('of attestations are signed by the engineer who hands them in', async () => {
    const own = world.signAttestation({}, [certified.signer]);
    expect(await hand<Grant>(engineer, GRANTS, own.envelope)).toMatchObject({
      status: 201,
      body: { kind: 'attestation' },
    });
    const colleague = await api.person('engineer');
    const second = world.signAttestation({}, [certified.signer]);
    expect((await hand(colleague, GRANTS, second.envelope)).status).toBe(400);
  });

  it('are listed by server and state', async () => {
    const soon = world.signGrant({ notBefore: world.now + 600 });
    await hand(acme.client, GRANTS, soon.envelope);
    const list = async (query: string, person = acme.client) =>
      (await person.get<{ items: Grant[] }>(`${GRANTS}?${query}`)).body.items;
    expect((await list('state=not_yet_valid')).map((row) => row.id)).toEqual([soon.payload.id]);
    const valid = await list('state=valid&server=web-04');
    expect(valid.length).toBeGreaterThan(1);
    expect(valid.map((row) => row.number)).toEqual(
      valid.map((row) => row.number).toSorted((a, b) => b - a),
    );
    expect(await list('limit=500', bolt.client)).toEqual([]);
    expect((await bolt.client.get(`${GRANTS}?server=web-04`)).status).toBe(404);
  });
});

describe('revocations', () => {
  const REVOCATIONS = '/api/v1/revocations';
  const grantNow = async () => {
    const signed = world.signGrant();
    await hand(acme.client, '/api/v1/grants', signed.envelope);
    return signed.payload.id;
  };
  const subjects = async (account: string) =>
    (await revocationsFor(test.database, account)).map((row) => row.subject);

  it('need no signature: the grant ends at once and agents of the account are woken', async () => {
    const id = await grantNow();
    const woken = await wokenDuring(acme.id, async () => {
      const answer = await acme.client.post<{ revoked: string[] }>(REVOCATIONS, { grant: id });
      expect(answer).toMatchObject({ status: 201, body: { revoked: [id] } });
    });
    expect(woken).toBe(1);
    const grant = await acme.client.get<Grant>(`/api/v1/grants/${id}`);
    expect(grant.body).toMatchObject({ state: 'revoked', revokedAt: expect.any(String) as string });
    expect(await subjects(acme.id)).toContain(id);
    expect(await subjects(bolt.id)).not.toContain(id);
  });

  it('can become stricter and never milder', async () => {
    const id = await grantNow();
    const row = async () =>
      (await revocationsFor(test.database, acme.id)).find((one) => one.subject === id);
    await engineer.post(REVOCATIONS, { grant: id, afterStep: true });
    expect(await row()).toMatchObject({ afterStep: true, envelope: null });
    await acme.client.post(REVOCATIONS, { grant: id, afterStep: false });
    await acme.client.post(REVOCATIONS, { grant: id, afterStep: true });
    expect(await row()).toMatchObject({ afterStep: false, envelope: null });
    const signed = world.signRevoke({ grants: [id], keys: [], afterStep: true });
    await hand(acme.client, REVOCATIONS, signed.envelope);
    expect(await row()).toMatchObject({ afterStep: false, envelope: Buffer.from(signed.envelope) });
  });

  it('of another account are not possible, signed or not', async () => {
    const id = await grantNow();
    expect((await bolt.client.post(REVOCATIONS, { grant: id })).status).toBe(404);
    const signed = world.signRevoke({ grants: [id], keys: [] });
    expect((await hand(bolt.client, REVOCATIONS, signed.envelope)).status).toBe(400);
    expect(await subjects(acme.id)).not.toContain(id);
  });

  it('by the client reach own keys only, and a revoked key signs no grant', async () => {
    const foreign = world.signRevoke({ grants: [], keys: [certified.fingerprint] });
    expect(codeOf(await hand(acme.client, REVOCATIONS, foreign.envelope))).toEqual([
      404,
      'key_not_found',
    ]);
    const own = world.signRevoke({ grants: [], keys: [world.account.signing.fingerprint] });
    expect((await hand(acme.client, REVOCATIONS, own.envelope)).status).toBe(201);
    const late = await hand(acme.client, '/api/v1/grants', world.signGrant().envelope);
    expect(late.status).toBeGreaterThanOrEqual(400);
  });

  it('of an engineer key by the root reach every account, and end its certification', async () => {
    const signed = world.signRevoke({ grants: [], keys: [certified.fingerprint] }, [
      world.root.signer,
    ]);
    expect((await hand(engineer, REVOCATIONS, signed.envelope)).status).toBe(201);
    for (const account of [acme.id, bolt.id]) {
      expect(await subjects(account)).toContain(certified.fingerprint);
    }
    expect(await certifiedKeysOf(test.database, engineer.caller.personId)).toEqual([]);
  });

  it('of a lead end what the lead certified', async () => {
    const other = world.certify('engineer', lead.signer, { person: engineer.caller.personId });
    await hand(engineer, CERTIFICATIONS, other.envelope);
    expect(await certifiedKeysOf(test.database, engineer.caller.personId)).toEqual([other.key]);
    const signed = world.signRevoke({ grants: [], keys: [lead.fingerprint] }, [world.root.signer]);
    await hand(admin, REVOCATIONS, signed.envelope);
    expect(await readCertifications(test.database)).toEqual([]);
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
      expect(entries.length).toBeGreaterThan(4);
      expect(verifyChain(entries, { chain })).toMatchObject({ intact: true });
    }
  });
});
