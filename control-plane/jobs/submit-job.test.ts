import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addSignature } from '../../proto/documents/document.ts';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import type { Answer, ErrorBody } from '../../test/fixtures/http-api.ts';
import { Orders } from '../../test/fixtures/ordered-jobs.ts';
import type { JobView } from '../../test/fixtures/ordered-jobs.ts';
import { TestAgent } from '../../test/fixtures/test-agent.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
let orders: Orders;

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
  orders = new Orders(operation);
  const { world, client } = operation.tenant;
  await TestAgent.enroll(side, world, client);
});
afterAll(() => side.close());

const refusal = (answer: Answer<unknown>) => [
  answer.status,
  (answer.body as Partial<ErrorBody>).error?.code,
];

describe('an order', () => {
  it('becomes a queued job with its event and its audit entry', async () => {
    const order = orders.sign();
    const { status, body } = await orders.post(order, 'T-1');
    expect(status).toBe(201);
    expect(body).toMatchObject({
      id: order.payload.job,
      state: 'queued',
      action: 'filesystem.check',
      class: 'A',
      orderDigest: order.digest,
      grantId: null,
      startBefore: new Date(order.payload.startBefore * 1000).toISOString(),
    });
    expect(await orders.events(order)).toMatchObject([
      {
        sequence: 1,
        kind: 'state',
        actor: `person:${operation.engineer.caller.personId}`,
        content: { to: 'queued' },
      },
    ]);
    const [entry] = await test.database.query<{ content: object }>(
      `select content from audit_entries where chain = $1 and kind = 'job.ordered'`,
      [`intervention:${body.interventionId}`],
    );
    expect(entry!.content).toMatchObject({ job: order.payload.job, order: order.digest });
  });

  it('is taken once: the same job id again is a conflict, also with other content', async () => {
    const order = orders.sign();
    expect((await orders.post(order)).status).toBe(201);
    expect(refusal(await orders.post(order))).toEqual([409, 'job_exists']);
    const other = orders.sign({ job: order.payload.job });
    expect(refusal(await orders.post(other))).toEqual([409, 'job_exists']);
    const twice = orders.sign();
    const both = await Promise.all([orders.post(twice), orders.post(twice)]);
    expect(new Set(both.map((one) => one.status))).toEqual(new Set([201, 409]));
  });

  it('joins the open intervention of its ticket, and opens one for another ticket', async () => {
    const first = (await orders.post(orders.sign(), 'T-7')).body;
    const second = (await orders.post(orders.sign(), 'T-7')).body;
    const other = (await orders.post(orders.sign(), 'T-8')).body;
    expect(second.interventionId).toBe(first.interventionId);
    expect(other.interventionId).not.toBe(first.interventionId);
    expect([first, second, other].map((job) => job.name.split('/')[1])).toEqual(['1', '2', '1']);
  });

  it('takes its ticket from its authorization', async () => {
    const grant = operation.tenant.world.signGrant({ ticket: 'T-granted' });
    await side.api.services.grants.add(operation.tenant.client.caller, grant.envelope);
    const { body } = await orders.post(orders.sign({ authorization: grant.digest }));
    const found = await operation.engineer.get<{ ticket: string }>(
      `/api/v1/interventions/${body.interventionId}`,
    );
    expect(found.body.ticket).toBe('T-granted');
    const again = orders.sign({ authorization: grant.digest });
    expect(refusal(await orders.post(again, 'T-other'))).toEqual([400, 'ticket_mismatch']);
    expect((await orders.post(again, 'T-granted')).body.interventionId).toBe(body.interventionId);
  });

  it('many at once for a new ticket share one intervention, each with its number', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => orders.post(orders.sign(), 'T-many')),
    );
    expect(new Set(answers.map((one) => one.body.interventionId)).size).toBe(1);
    const numbers = answers.map((one) => Number(one.body.name.split('/')[1]));
    expect(numbers.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('is found by number, id and end of id, by those who may see it', async () => {
    const { body } = await orders.post(orders.sign(), 'T-find');
    const { engineer, admin, tenant } = operation;
    for (const person of [engineer, admin, tenant.client]) {
      for (const reference of [
        body.name.replace('/', '.'),
        encodeURIComponent(body.name),
        body.id,
        body.id.slice(-12),
      ]) {
        const found = await person.get<JobView>(`/api/v1/jobs/${reference}`);
        expect([found.status, found.body.id]).toEqual([200, body.id]);
      }
    }
    expect(refusal(await engineer.get('/api/v1/jobs/999.1'))).toEqual([404, 'job_not_found']);
    expect(refusal(await engineer.get('/api/v1/jobs/nothing'))).toEqual([404, 'job_not_found']);
  });
});

describe('an order is turned away', () => {
  it('when it is no order', async () => {
    const grant = operation.tenant.world.signGrant();
    expect(refusal(await orders.post(grant))).toEqual([400, 'type_not_allowed_for_key']);
    const garbage = { envelope: Buffer.from('garbage') };
    expect(refusal(await orders.post(garbage))).toEqual([400, 'envelope_malformed']);
  });

  it('when its words would do something to the terminals of those who read them', async () => {
    const answer = await orders.post(orders.sign({ reason: 'disk full\u001b[2J' }));
    expect(refusal(answer)).toEqual([400, 'invalid_request']);
    expect((answer.body as ErrorBody).error.happened).toBe(
      'order.reason: holds U+001B, which cannot be seen: write it without',
    );
  });

  it('when whoever sends it has not signed it, or not with a key certified for them', async () => {
    const stranger = createWorldKey();
    const { certified } = operation;
    const notSigned = orders.sign({}, [stranger.signer]);
    expect(refusal(await orders.post(notSigned))).toEqual([403, 'order_not_yours']);
    const colleague = await side.api.person('engineer');
    const own = orders.sign();
    const answer = await colleague.post('/api/v1/jobs', {
      order: Buffer.from(own.envelope).toString('base64'),
    });
    expect(refusal(answer)).toEqual([403, 'order_not_yours']);
    const second = addSignature(notSigned.envelope, certified.signer);
    expect((await orders.post({ envelope: second })).status).toBe(201);
  });

  it('when a signature of their key is there but does not hold', async () => {
    const { envelope } = orders.sign();
    const changed = JSON.parse(Buffer.from(envelope).toString()) as {
      signatures: { sig: string }[];
    };
    const signature = Buffer.from(changed.signatures[0]!.sig, 'base64');
    signature[3]! ^= 1;
    changed.signatures[0]!.sig = signature.toString('base64');
    const answer = await orders.post({ envelope: Buffer.from(JSON.stringify(changed)) });
    expect(refusal(answer)).toEqual([403, 'order_not_yours']);
  });

  it('when it had to be started before now', async () => {
    const now = Math.floor(Date.now() / 1000);
    const late = orders.sign({ issuedAt: now - 900, startBefore: now - 1 });
    expect(refusal(await orders.post(late))).toEqual([409, 'order_expired']);
  });

  it('when its action is not known here', async () => {
    const order = orders.sign({ action: 'magic.repair' });
    expect(refusal(await orders.post(order))).toEqual([400, 'action_unknown']);
  });

  it('when its server does not exist, has no agent, or another agent than it names', async () => {
    const nowhere = orders.sign({ server: '99999999-2222-4333-8444-555555555555' });
    expect(refusal(await orders.post(nowhere))).toEqual([404, 'server_not_found']);
    const bare = await operation.addServer(operation.tenant);
    const early = orders.sign({ server: bare.serverId });
    expect(refusal(await orders.post(early))).toEqual([409, 'agent_missing']);
    const other = orders.sign({ agentKey: createWorldKey().fingerprint });
    expect(refusal(await orders.post(other))).toEqual([409, 'agent_changed']);
  });

  it('when its agent is quarantined', async () => {
    const tenant = await operation.addServer(operation.tenant);
    const agent = await TestAgent.enroll(side, tenant.world, tenant.client);
    await test.database.query('update agents set quarantined_at = now() where id = $1', [
      agent.agentId,
    ]);
    const own = new Orders(operation, tenant);
    expect(refusal(await own.post(own.sign()))).toEqual([409, 'agent_quarantined']);
  });

  it('when what it names is not here, or belongs to another account or server', async () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const job = '01900000-0000-7000-8000-000000000000';
    const mode = { action: 'filesystem.repair' };
    for (const [changes, code] of [
      [{ authorization: digest }, 'grant_not_found'],
      [{ ...mode, plan: digest }, 'plan_not_found'],
      [{ ...mode, mode: 'undo' as const, undoes: job }, 'job_not_found'],
    ] as const) {
      expect(refusal(await orders.post(orders.sign(changes)))).toEqual([404, code]);
    }
    const stranger = await operation.addTenant();
    const grant = stranger.world.signGrant();
    await side.api.services.grants.add(stranger.client.caller, grant.envelope);
    const foreign = orders.sign({ authorization: grant.digest });
    expect(refusal(await orders.post(foreign))).toEqual([404, 'grant_not_found']);
    const neighbour = await operation.addServer(operation.tenant);
    await TestAgent.enroll(side, neighbour.world, neighbour.client);
    const theirs = await new Orders(operation, neighbour).place();
    const undo = orders.sign({ ...mode, mode: 'undo', undoes: theirs.payload.job });
    expect(refusal(await orders.post(undo))).toEqual([404, 'job_not_found']);
  });

  it('when it could never be delivered, because its papers are too large together', async () => {
    const { world, client } = operation.tenant;
    const text = 'x'.repeat(8_000);
    const grant = world.signGrant({
      shownText: text,
      actions: Array.from({ length: 8 }, () => ({
        pattern: 'command.run',
        parameters: { argv: [['a'.repeat(5_500)]] },
      })),
    });
    await side.api.services.grants.add(client.caller, grant.envelope);
    const large = Object.fromEntries(
      Array.from({ length: 3 }, (_, at) => [`secret${at}`, 'A'.repeat(15_000)]),
    );
    const order = orders.sign({ authorization: grant.digest, sealedInputs: large, reason: text });
    const parts = grant.envelope.byteLength + order.envelope.byteLength;
    expect(parts).toBeLessThan(240 * 1024);
    expect((await orders.post(order)).status).toBe(201);
    await test.database.query(
      'update grants set envelope = envelope || $2::bytea where digest = $1',
      [grant.digest, Buffer.alloc(200 * 1024, 32)],
    );
    const second = orders.sign({ authorization: grant.digest, sealedInputs: large });
    expect(refusal(await orders.post(second))).toEqual([400, 'document_too_large']);
  });

  it('when its authors are clients or administrators', async () => {
    const body = { order: Buffer.from(orders.sign().envelope).toString('base64') };
    for (const person of [operation.tenant.client, operation.admin]) {
      expect(refusal(await person.post('/api/v1/jobs', body))).toEqual([403, 'role_not_allowed']);
    }
  });
});

describe('jobs of other accounts', () => {
  it('do not exist for a client, on any route', async () => {
    const order = await orders.place();
    const stranger = await operation.addTenant();
    const path = `/api/v1/jobs/${order.payload.job}`;
    for (const end of ['', '/documents', '/events', '/log']) {
      expect(refusal(await stranger.client.get(path + end))).toEqual([404, 'job_not_found']);
    }
    expect(refusal(await stranger.client.post(`${path}/cancel`))).toEqual([404, 'job_not_found']);
    const { body } = await stranger.client.get<{ items: JobView[] }>('/api/v1/jobs');
    expect(body.items).toEqual([]);
    const ofServer = `/api/v1/jobs?server=${operation.tenant.serverId}`;
    expect(refusal(await stranger.client.get(ofServer))).toEqual([404, 'server_not_found']);
    const agents = await stranger.client.get<{ items: object[] }>('/api/v1/agents');
    expect(agents.body.items).toEqual([]);
  });
});

describe('the list of jobs', () => {
  it('is newest first, in pages, and can be narrowed', async () => {
    const tenant = await operation.addServer(await operation.addTenant());
    await TestAgent.enroll(side, tenant.world, tenant.client);
    const own = new Orders(operation, tenant);
    const placed: string[] = [];
    for (let count = 0; count < 5; count++) {
      placed.unshift((await own.place({}, `T-${count % 2}`)).payload.job);
    }
    const list = async (query: string) => {
      type Page = { items: JobView[]; next: string | null };
      const { body } = await tenant.client.get<Page>(`/api/v1/jobs?${query}`);
      return body;
    };
    expect((await list('')).items.map((job) => job.id)).toEqual(placed);
    const first = await list('limit=2');
    const second = await list(`limit=2&after=${first.next}`);
    const third = await list(`limit=2&after=${second.next}`);
    const paged = [first, second, third].flatMap((page) => page.items.map((job) => job.id));
    expect(paged).toEqual(placed);
    expect(third.next).toBeNull();
    const { interventionId } = first.items[0]!;
    expect((await list(`intervention=${interventionId}`)).items).toHaveLength(3);
    expect((await list('state=queued')).items).toHaveLength(5);
    expect((await list('state=running')).items).toEqual([]);
    expect(refusal(await tenant.client.get('/api/v1/jobs?after=nonsense'))).toEqual([
      400,
      'cursor_invalid',
    ]);
  });
});
