import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { createTestApi } from '../../test/fixtures/http-api.ts';
import type { ApiPerson, ErrorBody, TestApi } from '../../test/fixtures/http-api.ts';
import { createTrustWorld, uuidV7 } from '../../test/fixtures/trust-world.ts';
import type { SignedDocument, TrustWorld, WorldPerson } from '../../test/fixtures/trust-world.ts';
import { verifyChain } from '../audit/verify-chain.ts';
import { joinIntervention } from './join-intervention.ts';

const test = useTestDatabase();
const INTERVENTIONS = '/api/v1/interventions';
let api: TestApi;
let engineer: ApiPerson;
let acme: Awaited<ReturnType<TestApi['account']>>;
let bolt: Awaited<ReturnType<TestApi['account']>>;
let world: TrustWorld;

interface Intervention {
  id: string;
  number: number;
  ticket: string;
  closedAt: string | null;
  jobs: number;
}

beforeAll(async () => {
  api = createTestApi(test.database);
  engineer = await api.person('engineer');
  acme = await api.account('acme');
  bolt = await api.account('bolt');
  const server = await acme.client.post<{ id: string }>('/api/v1/servers', { name: 'web-04' });
  world = await createTrustWorld({ accountId: acme.id, serverId: server.body.id });
  await test.database.query(
    `insert into agents (id, server_id, account_id, mode, key, key_fingerprint, age_recipient,
       certificate_serial, certificate_expires_at, certificate, certificate_request_hash)
     values ($1, $2, $3, 'resident', $4, $5, $6, 's1', now(), '', '')`,
    [
      randomUUID(),
      world.server.id,
      acme.id,
      JSON.stringify(world.agent.key),
      world.agent.fingerprint,
      world.agent.ageRecipient,
    ],
  );
});
afterAll(() => api.close());

async function open(ticket: string): Promise<Intervention> {
  const answer = await engineer.post<Intervention>(INTERVENTIONS, { server: 'web-04', ticket });
  expect(answer.status).toBe(201);
  return answer.body;
}

/** A job as its row is, past everything that orders it. */
async function addJob(
  interventionId: string,
  order: SignedDocument<'order'>,
  grantId: string | null,
  endedAt: Date | null,
): Promise<void> {
  await test.database.query(
    `with numbered as (
       update interventions set next_job = next_job + 1 where id = $3 returning next_job - 1 as number)
     insert into jobs (id, account_id, intervention_id, number, server_id, agent_id, grant_id, action,
       action_version, mode, parameters, order_envelope, order_digest, state, start_before, ended_at)
     select $1, $2, $3, numbered.number, $4, a.id, $5, $6, 1, 'apply', '{}', $7, $8, 'succeeded', now(), $9
     from agents a, numbered where a.server_id = $4`,
    [
      order.payload.job,
      acme.id,
      interventionId,
      world.server.id,
      grantId,
      order.payload.action,
      Buffer.from(order.envelope),
      order.digest,
      endedAt,
    ],
  );
}

describe('interventions', () => {
  it('are opened once per server and ticket, with a number people can say', async () => {
    const opened = await open('T-1');
    expect(opened.number).toBeGreaterThanOrEqual(1001);
    const again = await engineer.post<ErrorBody>(INTERVENTIONS, {
      server: 'web-04',
      ticket: 'T-1',
    });
    expect([again.status, again.body.error.code]).toEqual([409, 'intervention_open']);
    expect(again.body.error.happened).toContain(String(opened.number));
    for (const reference of [opened.number, opened.id, opened.id.slice(-8)]) {
      const found = await acme.client.get<Intervention>(`${INTERVENTIONS}/${reference}`);
      expect(found.body.id).toBe(opened.id);
      expect((await bolt.client.get(`${INTERVENTIONS}/${reference}`)).status).toBe(404);
    }
  });

  it.each([
    ['ticket', { ticket: 'T-2\u001b[31m' }, 'U+001B'],
    ['ticket', { ticket: 'T-2\nT-3' }, 'U+000A'],
    ['description', { ticket: 'T-2', description: 'all\rgone' }, 'U+000D'],
  ])(
    'whose %s holds what cannot be seen are refused, and none is opened',
    async (field, change, code) => {
      const before = await test.database.query('select count(*) as count from interventions');
      const answer = await engineer.post<ErrorBody>(INTERVENTIONS, { server: 'web-04', ...change });
      expect([answer.status, answer.body.error.code]).toEqual([400, 'invalid_request']);
      expect(answer.body.error.happened).toContain(`${field}: holds ${code}`);
      expect(await test.database.query('select count(*) as count from interventions')).toEqual(
        before,
      );
    },
  );

  it('joined by many at once are one', async () => {
    const request = {
      accountId: acme.id,
      serverId: world.server.id,
      ticket: 'T-many',
      description: '',
      actor: 'system',
      openedBy: null,
    };
    const joined = await Promise.all(
      Array.from({ length: 6 }, () =>
        test.database.transaction((queries) => joinIntervention(queries, request)),
      ),
    );
    expect(new Set(joined.map((one) => one.intervention.id)).size).toBe(1);
    expect(joined.filter((one) => one.opened)).toHaveLength(1);
  });

  it('are closed when their jobs have ended, once, and then make room for another', async () => {
    const { id, number } = await open('T-close');
    const order = world.signOrder({ job: uuidV7() });
    await addJob(id, order, null, null);
    const early = await engineer.post<ErrorBody>(`${INTERVENTIONS}/${number}/close`);
    expect([early.status, early.body.error.code]).toEqual([409, 'jobs_not_ended']);
    await test.database.query('update jobs set ended_at = now() where id = $1', [
      order.payload.job,
    ]);
    const closed = await engineer.post<Intervention>(`${INTERVENTIONS}/${number}/close`);
    expect(closed.body).toMatchObject({ jobs: 1, closedAt: expect.any(String) as string });
    const again = await engineer.post<Intervention>(`${INTERVENTIONS}/${number}/close`);
    expect(again.body.closedAt).toBe(closed.body.closedAt);
    expect((await open('T-close')).number).toBeGreaterThan(number);
    const audit = await acme.client.get<{ items: { kind: string }[] }>(
      `/api/v1/audit?chain=intervention:${number}`,
    );
    expect(audit.body.items.map((row) => row.kind)).toEqual([
      'intervention.opened',
      'intervention.closed',
    ]);
  });

  it('are listed newest first, by server and state, page by page', async () => {
    const list = async (query: string, person = engineer) =>
      (
        await person.get<{ items: Intervention[]; next: string | null }>(
          `${INTERVENTIONS}?${query}`,
        )
      ).body;
    const all = (await list('limit=500')).items.map((row) => row.number);
    expect(all).toEqual(all.toSorted((a, b) => b - a));
    const first = await list('limit=2');
    const second = await list(`limit=2&after=${first.next}`);
    expect([...first.items, ...second.items].map((row) => row.number)).toEqual(all.slice(0, 4));
    const closed = (await list('state=closed&server=web-04')).items;
    expect(closed.map((row) => row.ticket)).toEqual(['T-close']);
    expect((await list('', bolt.client)).items).toEqual([]);
    expect((await engineer.get(`${INTERVENTIONS}?after=eA`)).status).toBe(400);
  });
});

describe('a pack', () => {
  let certified: WorldPerson;
  let intervention: Intervention;

  interface Pack {
    rootChain: string[];
    accountKeys: string[];
    certifications: string[];
    grants: string[];
    revocations: string[];
    jobs: { name: string; agentKey: object; documents: { order: string; plan: null } }[];
    chain: { sequence: number; entry: string; previous: string; hash: string }[];
  }
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

  beforeAll(async () => {
    const admin = await api.person('admin');
    const leader = await api.person('lead');
    const other = await api.person('engineer');
    const lead = world.certify('lead', world.root.signer, { person: leader.caller.personId });
    certified = world.certify('engineer', lead.signer, { person: engineer.caller.personId });
    const stranger = world.certify('engineer', lead.signer, { person: other.caller.personId });
    const hand = async (person: ApiPerson, path: string, envelope: Uint8Array) => {
      const answer = await person.post(path, { envelope: base64(envelope) });
      expect(answer.status).toBe(201);
    };
    await hand(admin, '/api/v1/trust/root', world.root.envelope);
    for (const { envelope } of [lead, certified, stranger]) {
      await hand(admin, '/api/v1/trust/certifications', envelope);
    }
    await hand(acme.client, '/api/v1/accounts/acme/keys', world.account.envelope);
    const grant = world.signGrant();
    await hand(acme.client, '/api/v1/grants', grant.envelope);
    await hand(acme.client, '/api/v1/grants', world.signGrant().envelope);
    intervention = await open('T-8817');
    const order = world.signOrder({ job: uuidV7(), authorization: grant.digest }, [
      certified.signer,
    ]);
    await addJob(intervention.id, order, grant.payload.id, new Date());
    await hand(
      acme.client,
      '/api/v1/revocations',
      world.signRevoke({ grants: [grant.payload.id], keys: [] }).envelope,
    );
  });

  it('has every document that the job rests on, no other, and an intact chain', async () => {
    const { body, status } = await acme.client.get<Pack>(
      `${INTERVENTIONS}/${intervention.number}/pack`,
    );
    expect(status).toBe(200);
    expect(body.rootChain).toEqual([base64(world.root.envelope)]);
    expect(body.accountKeys).toEqual([base64(world.account.envelope)]);
    // The lead and the engineer who ordered; not the one who had nothing to do with it.
    expect(body.certifications).toHaveLength(2);
    expect(body.certifications).toContain(base64(certified.envelope));
    expect(body.grants).toHaveLength(1);
    expect(body.revocations).toHaveLength(1);
    expect(body.jobs).toMatchObject([
      { name: `${intervention.number}/1`, agentKey: world.agent.key, documents: { plan: null } },
    ]);
    const chain = `intervention:${intervention.id}`;
    expect(verifyChain(body.chain, { chain })).toMatchObject({ intact: true });
  });

  it('of an intervention without jobs is empty but whole', async () => {
    const { number } = await open('T-empty');
    const { body } = await engineer.get<Pack>(`${INTERVENTIONS}/${number}/pack`);
    expect([body.jobs, body.certifications, body.grants]).toEqual([[], [], []]);
    expect(body.chain).toHaveLength(1);
  });

  it('is not for another account', async () => {
    const answer = await bolt.client.get(`${INTERVENTIONS}/${intervention.number}/pack`);
    expect(answer.status).toBe(404);
  });
});
