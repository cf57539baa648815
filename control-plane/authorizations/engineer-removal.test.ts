import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addSignature } from '../../proto/documents/document.ts';
import { readUnverified } from '../../proto/documents/document.ts';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import type { Answer, ApiPerson, ErrorBody } from '../../test/fixtures/http-api.ts';
import { Orders } from '../../test/fixtures/ordered-jobs.ts';
import { sent } from '../../test/fixtures/tenant.ts';
import { TestAgent } from '../../test/fixtures/test-agent.ts';
import type { TestSession } from '../../test/fixtures/test-agent.ts';
import type { SignedDocument, WorldPerson } from '../../test/fixtures/trust-world.ts';

type View = { state: string; reason: string | null; owner: string | null };

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
let agent: TestAgent;
let session: TestSession;
const classC = { action: 'command.run', parameters: { argv: ['true'] } };

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
  const { world, client } = operation.tenant;
  agent = await TestAgent.enroll(side, world, client);
  session = await agent.connect();
});
afterAll(() => side.close());

interface Somebody {
  engineer: ApiPerson;
  certified: WorldPerson;
  orders: Orders;
}

async function somebody(): Promise<Somebody> {
  const made = await operation.addEngineer();
  return { ...made, orders: new Orders({ ...operation, ...made }) };
}

const revokeKeys = (by: WorldPerson, keys: string[]) =>
  sent(operation.tenant.world.signRevoke({ grants: [], keys }, [by.signer]).envelope);
const remove = (who: Somebody, as: ApiPerson = operation.leader, by = operation.lead) =>
  as.post<ErrorBody>('/api/v1/revocations', revokeKeys(by, [who.certified.fingerprint]));
const view = async (order: SignedDocument<'order'>) =>
  (await operation.admin.get<View>(`/api/v1/jobs/${order.payload.job}`)).body;
const refusal = (answer: Answer<ErrorBody>) => [answer.status, answer.body.error?.code];

async function running(who: Somebody): Promise<SignedDocument<'order'>> {
  const order = await who.orders.place();
  const jobId = order.payload.job;
  await session.delivery(jobId);
  session.send({ receipt: { jobId, receipt: Buffer.from(agent.accepted(order)) } });
  await session.acknowledged(jobId, 'receipt');
  return order;
}

describe('the removal of an engineer by a lead', () => {
  it('hands what runs to the lead, who is shown as its owner', async () => {
    const who = await somebody();
    const order = await running(who);
    expect((await view(order)).owner).toBe(who.engineer.caller.name);
    expect((await remove(who)).status).toBe(201);
    expect(await view(order)).toMatchObject({
      state: 'running',
      owner: operation.leader.caller.name,
    });
    expect(
      (await operation.leader.post(`/api/v1/jobs/${order.payload.job}/cancel`, {})).status,
    ).toBe(200);
    const kinds = await test.database.query<{ content: object }>(
      `select content from audit_entries where kind = 'job.handed_over' and content->>'job' = $1`,
      [order.payload.job],
    );
    expect(kinds).toMatchObject([{ content: { owner: operation.leader.caller.personId } }]);
  });

  it('cancels what they proposed or approved, because their signature counts no more', async () => {
    const grant = operation.tenant.world.signGrant({ engineersForClassC: 3 });
    await side.api.services.grants.add(operation.tenant.client.caller, grant.envelope);
    const [first, second] = [await somebody(), await somebody()];
    const own = await first.orders.place({ ...classC, authorization: grant.digest });
    const theirs = await second.orders.place({ ...classC, authorization: grant.digest });
    await first.engineer.post(`/api/v1/jobs/${theirs.payload.job}/approve`, {
      order: sent(addSignature(theirs.envelope, first.certified.signer)).envelope,
    });
    await remove(first);
    for (const order of [own, theirs]) {
      expect(await view(order)).toMatchObject({ state: 'cancelled', reason: 'engineer_removed' });
    }
  });

  it('reaches the agents with the documents that make it last', async () => {
    const who = await somebody();
    const from = session.answers.all.length;
    await remove(who);
    const told = await session.answers.find(
      ({ revocations }) =>
        revocations?.ids!.includes(who.certified.fingerprint) ? revocations : null,
      from,
    );
    const keys = told.documents!.flatMap((one) => readUnverified('revoke', one).payload.keys);
    expect(keys).toContain(who.certified.fingerprint);
    expect(told.certifications!.map((one) => Buffer.from(one).toString('base64'))).toContain(
      Buffer.from(operation.lead.envelope).toString('base64'),
    );
  });

  it('leaves orders that wait to their agent, which gets them with the revocation', async () => {
    const who = await somebody();
    const order = await who.orders.place();
    await session.delivery(order.payload.job);
    await remove(who);
    session.send({
      receipt: {
        jobId: order.payload.job,
        receipt: Buffer.from(agent.refused(order, 'policy_denied')),
      },
    });
    await session.acknowledged(order.payload.job, 'receipt');
    expect(await view(order)).toMatchObject({ state: 'refused' });
  });

  it('is not for engineers, but that each may take their own key back', async () => {
    const [one, two] = [await somebody(), await somebody()];
    expect(refusal(await remove(two, one.engineer, one.certified))).toEqual([403, 'lead_needed']);
    const order = await running(one);
    expect((await remove(one, one.engineer, one.certified)).status).toBe(201);
    // Nobody else sent them away: the lead who certified them answers for the job.
    expect((await view(order)).owner).toBe(operation.leader.caller.name);
  });

  it('while they have another key that counts leaves their jobs alone', async () => {
    const who = await somebody();
    const person = who.engineer.caller.personId;
    const other = operation.world.certify('engineer', operation.lead.signer, { person });
    await side.api.services.trust.addCertification(operation.leader.caller, other.envelope);
    const order = await running(who);
    await remove(who);
    expect((await view(order)).owner).toBe(who.engineer.caller.name);
  });
});

describe('the removal of a person by an administrator', () => {
  it('ends their log-in and hands their jobs to the lead who certified them', async () => {
    const who = await somebody();
    const order = await running(who);
    const path = `/api/v1/people/${who.engineer.caller.personId}`;
    expect((await operation.admin.delete(path)).status).toBe(204);
    expect((await who.engineer.get('/api/v1/whoami')).status).toBe(401);
    expect((await view(order)).owner).toBe(operation.leader.caller.name);
  });
});
