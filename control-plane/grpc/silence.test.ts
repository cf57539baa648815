import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, Tenant, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { TestAgent } from '../../test/fixtures/test-agent.ts';
import { startCutProxy } from '../../test/harness/cut-proxy.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
const agents: TestAgent[] = [];

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
});
afterAll(async () => {
  for (const agent of agents) agent.close();
  await side.close();
});

async function newAgent(): Promise<[TestAgent, Tenant]> {
  const tenant = await operation.addTenant();
  const agent = await TestAgent.enroll(side, tenant.world, tenant.client);
  agents.push(agent);
  return [agent, tenant];
}

async function stateOf(tenant: Tenant): Promise<string> {
  const { body } = await tenant.client.get<{ agent: { state: string } }>(
    `/api/v1/servers/${tenant.serverId}`,
  );
  return body.agent.state;
}

// Each of these waits for a limit to pass, so they wait together.
describe.concurrent('a session', () => {
  it('that went silent is found dead within 15 seconds, also when nobody else knocks', async () => {
    const [agent, tenant] = await newAgent();
    const proxy = await startCutProxy(side.port);
    try {
      const lost = await agent.connect({}, agent.client(proxy.port));
      proxy.silence();
      const isGone = () => expect(side.side.sessions.find(agent.agentId)).toBeUndefined();
      await vi.waitFor(isGone, { timeout: 30_000, interval: 100 });
      await vi.waitFor(async () => expect(await stateOf(tenant)).toBe('disconnected'), {
        timeout: 30_000,
      });
      lost.client.close();
    } finally {
      await proxy.close();
    }
  });

  it('hears from the control plane at least every 12 seconds', async () => {
    const [agent] = await newAgent();
    const session = await agent.connect();
    const before = session.answers.all.length + 2;
    expect(await session.answers.find((message) => message, before, 12_000)).toBeDefined();
    await session.close();
  });

  it('is told of a revocation whose wake-up was lost', async () => {
    const [agent, tenant] = await newAgent();
    const session = await agent.connect();
    const subject = '99999999-2222-4333-8444-555555555555';
    await sleep(5_500);
    await test.database.query(
      `insert into revocations (subject, account_id, kind) values ($1, $2, 'grant')`,
      [subject, tenant.accountId],
    );
    const told = await session.answers.find(({ revocations }) =>
      revocations?.ids?.includes(subject) ? revocations : null,
    );
    expect(told.ids).toEqual([subject]);
    await session.close();
  });
});
