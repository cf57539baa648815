import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import type { ApiPerson, TestApi } from '../../test/fixtures/http-api.ts';
import { codeOf, hand, setTrustScene, wokenDuring } from '../../test/fixtures/trust-scene.ts';
import type { TrustScene } from '../../test/fixtures/trust-scene.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld, WorldPerson } from '../../test/fixtures/trust-world.ts';
import { certifiedKeysOf, readCertifications } from './certifications.ts';
import { revocationsFor } from './revocation-store.ts';

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

interface Grant {
  id: string;
  number: number;
  state: string;
  kind: string;
  servers: { name: string }[];
  revokedAt: string | null;
}

const CERTIFICATIONS = '/api/v1/trust/certifications';

beforeAll(async () => {
  scene = await setTrustScene(test.database);
  ({ api, admin, engineer, acme, bolt, world, lead, certified } = scene);
  await hand(admin, '/api/v1/trust/root', world.root.envelope);
  await hand(admin, CERTIFICATIONS, lead.envelope);
  await hand(admin, CERTIFICATIONS, certified.envelope);
  await hand(acme.client, '/api/v1/accounts/acme/keys', world.account.envelope);
});
afterAll(() => api.close());

describe('grants', () => {
  const GRANTS = '/api/v1/grants';

  it('signed by the account are stored, numbered as people say them, and found again', async () => {
    const signed = world.signGrant();
    let grant: Grant | undefined;
    const woken = await wokenDuring(api.bus, acme.id, async () => {
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
    const grantWithParameter = (value: string) => {
      const actions = [{ pattern: 'command.run', parameters: { argv: [[value]] } }];
      return world.signGrant({ actions }).envelope;
    };
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
      ['text_not_storable', 400, grantWithParameter('a\u0000b')],
      ['invalid_request', 400, world.signGrant({ shownText: 'a\u0000b' }).envelope],
      ['invalid_request', 400, world.signGrant({ ticket: 'T-1\u001b[31m' }).envelope],
      ['invalid_request', 400, world.signGrant({ ticket: 'T-1\nT-2' }).envelope],
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
    const woken = await wokenDuring(api.bus, acme.id, async () => {
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
