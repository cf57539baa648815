import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addSignature } from '../../proto/documents/document.ts';
import { parseEnvelope, encodeEnvelope } from '../../proto/documents/dsse.ts';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import type { Answer, ApiPerson, ErrorBody } from '../../test/fixtures/http-api.ts';
import { Orders } from '../../test/fixtures/ordered-jobs.ts';
import type { JobView } from '../../test/fixtures/ordered-jobs.ts';
import { TestAgent } from '../../test/fixtures/test-agent.ts';
import type { TestSession } from '../../test/fixtures/test-agent.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { SignedDocument, WorldPerson } from '../../test/fixtures/trust-world.ts';
import { JobExpiry } from './expire-jobs.ts';

type Proposed = JobView & { signedBy: string[]; engineersNeeded: number; owner: string | null };

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
let orders: Orders;
let session: TestSession;
let second: { engineer: ApiPerson; certified: WorldPerson };
const classC = { action: 'command.run', parameters: { argv: ['true'] } };

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
  orders = new Orders(operation);
  second = await operation.addEngineer();
  const { world, client } = operation.tenant;
  session = await (await TestAgent.enroll(side, world, client)).connect();
});
afterAll(() => side.close());

const refusal = (answer: Answer<unknown>) => [
  answer.status,
  (answer.body as Partial<ErrorBody>).error?.code,
];

async function granted(changes: Parameters<typeof operation.world.signGrant>[0] = {}) {
  const grant = operation.tenant.world.signGrant({ engineersForClassC: 2, ...changes });
  await side.api.services.grants.add(operation.tenant.client.caller, grant.envelope);
  return grant;
}

async function propose(): Promise<SignedDocument<'order'>> {
  const grant = await granted();
  const order = orders.sign({ ...classC, authorization: grant.digest });
  const { status, body } = await orders.post(order);
  expect([status, body.state]).toEqual([201, 'proposed']);
  return order;
}

function approve(
  person: ApiPerson,
  order: SignedDocument<'order'>,
  envelope: Uint8Array,
): Promise<Answer<Proposed>> {
  return person.post(`/api/v1/jobs/${order.payload.job}/approve`, {
    order: Buffer.from(envelope).toString('base64'),
  });
}

const bySecond = (order: SignedDocument<'order'>) =>
  addSignature(order.envelope, second.certified.signer);

describe('an order that needs two engineers', () => {
  it('is proposed, approved by another one, queued, and sent with both signatures', async () => {
    const order = await propose();
    const seen = await operation.engineer.get<Proposed>(`/api/v1/jobs/${order.payload.job}`);
    expect(seen.body).toMatchObject({
      signedBy: [operation.engineer.caller.name],
      engineersNeeded: 2,
      owner: operation.engineer.caller.name,
    });
    const { status, body } = await approve(second.engineer, order, bySecond(order));
    expect(status).toBe(200);
    expect(body.state).toMatch(/queued|delivered/);
    expect(body.signedBy).toEqual([operation.engineer.caller.name, second.engineer.caller.name]);
    const delivery = await session.delivery(order.payload.job);
    const { signatures } = parseEnvelope(delivery.order!);
    expect(signatures.map(({ keyid }) => keyid)).toEqual([
      operation.certified.fingerprint,
      second.certified.fingerprint,
    ]);
    const sent = delivery.certifications!.map((one) => Buffer.from(one).toString('base64'));
    expect(sent).toContain(Buffer.from(second.certified.envelope).toString('base64'));
    expect(await orders.path(order)).toEqual(['proposed', 'queued', 'delivered']);
    const entries = await test.database.query<{ content: object }>(
      `select content from audit_entries where kind = 'job.approved' and content->>'job' = $1`,
      [order.payload.job],
    );
    expect(entries).toMatchObject([{ content: { signatures: 2, engineersNeeded: 2 } }]);
  });

  it('is not sent before, and not when it is cancelled', async () => {
    const order = await propose();
    const after = await orders.place();
    await session.delivery(after.payload.job);
    expect(await orders.state(order)).toBe('proposed');
    expect((await orders.cancel(order)).status).toBe(200);
    expect(await orders.state(order)).toBe('cancelled');
    expect(refusal(await approve(second.engineer, order, bySecond(order)))).toEqual([
      409,
      'job_not_proposed',
    ]);
  });

  it('is queued at once when both have signed it before it came', async () => {
    const grant = await granted();
    const order = orders.sign({ ...classC, authorization: grant.digest }, [
      operation.certified.signer,
      second.certified.signer,
    ]);
    expect((await orders.post(order)).body.state).toMatch(/queued|delivered/);
  });

  it('counts people, not signatures of anybody', async () => {
    const grant = await granted();
    const stranger = createWorldKey();
    const order = orders.sign({ ...classC, authorization: grant.digest }, [
      operation.certified.signer,
      stranger.signer,
    ]);
    expect((await orders.post(order)).body.state).toBe('proposed');
  });

  it('needs as many as were asked for where the grant wants fewer, and waits for all of them', async () => {
    const grant = await granted({ engineersForClassC: 1 });
    const order = orders.sign({ ...classC, authorization: grant.digest });
    const posted = await operation.engineer.post<Proposed>('/api/v1/jobs', {
      order: Buffer.from(order.envelope).toString('base64'),
      engineers: 3,
    });
    expect(posted.body).toMatchObject({ state: 'proposed', engineersNeeded: 3 });
    const first = await approve(second.engineer, order, bySecond(order));
    expect([first.status, first.body.state]).toEqual([200, 'proposed']);
    const third = await operation.addEngineer();
    const both = addSignature(order.envelope, third.certified.signer);
    const last = await approve(third.engineer, order, both);
    expect([last.status, last.body.signedBy.length]).toEqual([200, 3]);
    const delivery = await session.delivery(order.payload.job);
    expect(parseEnvelope(delivery.order!).signatures).toHaveLength(3);
  });

  it('needs one for class A and B, whatever the grant says', async () => {
    const grant = await granted();
    const order = orders.sign({ authorization: grant.digest });
    expect((await orders.post(order)).body.state).toMatch(/queued|delivered/);
  });

  it('expires when too few have signed it in time', async () => {
    const order = await propose();
    await test.database.query(
      `update jobs set start_before = now() - interval '1 s' where id = $1`,
      [order.payload.job],
    );
    expect(refusal(await approve(second.engineer, order, bySecond(order)))).toEqual([
      409,
      'order_expired',
    ]);
    const { bus } = side.api;
    await new JobExpiry({ database: test.database, bus, log: null! }).expire();
    const job = await orders.job(order);
    expect([job.state, job.reason]).toEqual(['expired', 'signatures_missing']);
  });
});

describe('an approval is turned away', () => {
  it('of the own order, and a second one of the same engineer', async () => {
    const grant = await granted({ engineersForClassC: 3 });
    const order = orders.sign({ ...classC, authorization: grant.digest });
    await orders.post(order);
    expect(refusal(await approve(operation.engineer, order, order.envelope))).toEqual([
      409,
      'order_is_own',
    ]);
    expect((await approve(second.engineer, order, bySecond(order))).status).toBe(200);
    expect(refusal(await approve(second.engineer, order, bySecond(order)))).toEqual([
      409,
      'approved_before',
    ]);
    expect(await orders.state(order)).toBe('proposed');
  });

  it('when it is of other bytes, not signed, or signed with a key that is not certified', async () => {
    const order = await propose();
    const other = orders.sign({ ...classC, job: order.payload.job });
    expect(refusal(await approve(second.engineer, order, bySecond(other)))).toEqual([
      400,
      'order_mismatch',
    ]);
    expect(refusal(await approve(second.engineer, order, order.envelope))).toEqual([
      403,
      'order_not_yours',
    ]);
    const uncertified = addSignature(order.envelope, createWorldKey().signer);
    expect(refusal(await approve(second.engineer, order, uncertified))).toEqual([
      403,
      'order_not_yours',
    ]);
    const forged = parseEnvelope(bySecond(order));
    forged.signatures[1]!.sig = forged.signatures[0]!.sig;
    expect(refusal(await approve(second.engineer, order, encodeEnvelope(forged)))).toEqual([
      403,
      'order_not_yours',
    ]);
    expect(await orders.state(order)).toBe('proposed');
  });

  it('of somebody whom the grant does not name', async () => {
    const grant = await granted({ engineers: [operation.certified.fingerprint] });
    const order = orders.sign({ ...classC, authorization: grant.digest });
    await orders.post(order);
    expect(refusal(await approve(second.engineer, order, bySecond(order)))).toEqual([
      403,
      'engineer_not_named',
    ]);
  });

  it('of clients, auditors and administrators, and of what does not exist', async () => {
    const order = await propose();
    const auditor = await side.api.person('auditor');
    for (const person of [operation.tenant.client, auditor, operation.admin]) {
      expect((await approve(person, order, bySecond(order))).status).toBe(403);
    }
    const none = { payload: { job: '019aa000-0000-7000-8000-000000000000' } } as typeof order;
    expect((await approve(second.engineer, none, bySecond(order))).status).toBe(404);
  });

  it('the same approval twice at once counts once', async () => {
    const grant = await granted({ engineersForClassC: 3 });
    const order = orders.sign({ ...classC, authorization: grant.digest });
    await orders.post(order);
    const both = await Promise.all([
      approve(second.engineer, order, bySecond(order)),
      approve(second.engineer, order, bySecond(order)),
    ]);
    expect(new Set(both.map(({ status }) => status))).toEqual(new Set([200, 409]));
  });
});

describe('a lead', () => {
  it('takes a job over: the owner is shown, the event and the audit tell of it', async () => {
    const order = await propose();
    const path = `/api/v1/jobs/${order.payload.job}/take-over`;
    expect((await second.engineer.post(path)).status).toBe(403);
    const { status, body } = await operation.leader.post<Proposed>(path);
    expect([status, body.owner]).toEqual([200, operation.leader.caller.name]);
    const events = await orders.events(order);
    expect(events.at(-1)?.content).toEqual({
      to: 'proposed',
      owner: operation.leader.caller.name,
    });
    await orders.cancel(order);
    expect(refusal(await operation.leader.post(path))).toEqual([409, 'job_ended']);
  });
});
