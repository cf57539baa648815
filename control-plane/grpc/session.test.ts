import * as grpc from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Tenant } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { useEnrolledAgents } from '../../test/fixtures/enrolled-agents.ts';
import { encodeLog, TestSession } from '../../test/fixtures/test-agent.ts';
import { startCutProxy } from '../../test/harness/cut-proxy.ts';

const test = useTestDatabase();
const its = useEnrolledAgents(test);

async function stateOf(tenant: Tenant): Promise<string> {
  const { body } = await tenant.client.get<{ agent: { state: string } }>(
    `/api/v1/servers/${tenant.serverId}`,
  );
  return body.agent.state;
}

describe('a session', () => {
  it('tells people that the agent is there, and what it says of itself, cut to bounds', async () => {
    const [agent, tenant] = await its.newAgent();
    const session = await agent.connect({
      facts: {
        hostname: `web\0${'x'.repeat(5_000)}`,
        os: '<script>\ud800\u001b\u202e',
        macAddresses: Array.from({ length: 500 }, () => '52:54:00:00:00:01'),
        agentVersion: '1.2.3',
      },
      actions: [{ id: 'command.run', version: 1 }],
      documentTypes: ['application/vnd.intervene.order.v1+json'],
      locked: true,
    });
    const { body } = await tenant.client.get<{ items: Record<string, unknown>[] }>(
      '/api/v1/agents',
    );
    const found = body.items.find((one) => one['id'] === agent.agentId)!;
    expect(found).toMatchObject({
      state: 'connected',
      version: '1.2.3',
      locked: true,
      actions: [{ id: 'command.run', version: 1 }],
      documentTypes: ['application/vnd.intervene.order.v1+json'],
    });
    const facts = found['facts'] as { hostname: string; os: string; macAddresses: string[] };
    expect(facts.hostname).toHaveLength(255);
    expect(facts.hostname.startsWith('web\ufffdxxx')).toBe(true);
    expect(facts.os).toMatch(/^<script>\ufffd+$/);
    expect(facts.macAddresses).toHaveLength(64);
    await session.close();
    await expect.poll(() => stateOf(tenant)).toBe('disconnected');
  });

  it('is shown as unreachable after 45 seconds of silence', async () => {
    const [agent, tenant] = await its.newAgent();
    await (await agent.connect()).close();
    await expect.poll(() => stateOf(tenant)).toBe('disconnected');
    const silentFor = (seconds: number) =>
      test.database.query(
        `update agents set last_seen_at = now() - make_interval(secs => $2) where id = $1`,
        [agent.agentId, seconds],
      );
    await silentFor(44);
    expect(await stateOf(tenant)).toBe('disconnected');
    await silentFor(46);
    expect(await stateOf(tenant)).toBe('unreachable');
  });

  it('is refused while another one with the same key lives, which goes on', async () => {
    const [agent] = await its.newAgent();
    const first = await agent.connect();
    const second = agent.connect();
    await expect(second).rejects.toThrow(/ALREADY_EXISTS/);
    first.send({ heartbeat: {} });
    expect(its.side.side.sessions.find(agent.agentId)).toBeDefined();
    await first.close();
    await (await agent.connect()).close();
  });

  it('replaces one whose other end does not answer any more, long before 15 seconds', async () => {
    const [agent] = await its.newAgent();
    const proxy = await startCutProxy(its.side.port);
    try {
      const lost = await agent.connect({}, agent.client(proxy.port));
      proxy.silence();
      const started = performance.now();
      const session = await agent.connect();
      expect(performance.now() - started).toBeLessThan(4_000);
      await session.close();
      lost.client.close();
    } finally {
      await proxy.close();
    }
  });

  it('ends for a second hello', async () => {
    const [agent] = await its.newAgent();
    const session = await agent.connect();
    session.send({ hello: {} });
    expect((await session.answers.ended).code).toBe(grpc.status.INVALID_ARGUMENT);
  });

  it('answers for jobs it does not know, whatever their names', async () => {
    const [agent] = await its.newAgent();
    const knownJobs = ['99999999-2222-7333-8444-555555555555', '', `'; drop table jobs`];
    const session = await agent.connect({ knownJobs });
    expect(session.answers.all[0]!.welcome!.positions).toEqual(
      knownJobs.map((jobId) => ({
        jobId,
        known: false,
        ended: false,
        nextSequence: 0,
        logOffset: 0,
      })),
    );
    await session.close();
  });

  it('brings the keys of the account and what was revoked, at once and when it changes', async () => {
    const [agent, tenant] = await its.newAgent();
    const grant = tenant.world.signGrant();
    const { id } = await its.side.api.services.grants.add(tenant.client.caller, grant.envelope);
    const session = await agent.connect();
    const trust = await session.answers.find((message) => message.trust);
    expect(trust.accountKeys).toEqual([Buffer.from(tenant.world.account.envelope)]);
    expect(trust.rootChain).toEqual([Buffer.from(its.operation.world.root.envelope)]);
    await session.answers.find(({ revocations }) => (revocations?.ids?.includes(id) ? null : true));
    const revoke = tenant.world.signRevoke({ grants: [id] });
    const started = performance.now();
    await its.side.api.services.revocations.addSigned(tenant.client.caller, revoke.envelope);
    const told = await session.answers.find(({ revocations }) =>
      revocations?.ids?.includes(id) ? revocations : null,
    );
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(told.documents).toEqual([Buffer.from(revoke.envelope)]);
    await session.close();
  });

  it('ends when the key of the agent is revoked, and there is no other', async () => {
    const [agent, tenant] = await its.newAgent();
    const session = await agent.connect();
    const revoke = tenant.world.signRevoke({ keys: [tenant.world.agent.fingerprint] });
    await its.side.api.services.revocations.addSigned(tenant.client.caller, revoke.envelope);
    expect(await session.answers.ended).toMatchObject({
      code: grpc.status.PERMISSION_DENIED,
      details: expect.stringContaining('agent_revoked') as string,
    });
    await expect(agent.connect()).rejects.toThrow(/agent_revoked/);
  });
});

describe('a control plane that stops', () => {
  it('sends its agents away with a delay, stores what it accepted, and leaves nothing open', async () => {
    const leaving = await startAgentSide(test.database, { folder: its.side.folder });
    const [agent, tenant] = await its.newAgent();
    const session = await agent.connect({}, agent.client(leaving.port));
    const order = tenant.world.signOrder({}, [its.operation.certified.signer]);
    await leaving.api.request('POST', '/api/v1/jobs', its.operation.engineer.token, {
      order: Buffer.from(order.envelope).toString('base64'),
    });
    await session.delivery(order.payload.job);
    const upload = agent.upload(order.payload.job, agent.client(leaving.port));
    await upload.begin();
    const log = encodeLog('before the end\n');
    await upload.send(log, 0, log.length);
    await upload.committed(log.length);
    const started = performance.now();
    await leaving.close();
    expect(performance.now() - started).toBeLessThan(4_000);
    const { reconnectAfterMs } = await session.answers.find((message) => message.drain);
    expect(reconnectAfterMs).toBeLessThan(1_000);
    for (const { answers } of [session, upload]) {
      expect((await answers.ended).code).toBe(grpc.status.UNAVAILABLE);
    }
    expect(leaving.side.connections).toBe(0);
    const [row] = await test.database.query(
      'select log_offset as "offset" from jobs where id = $1',
      [order.payload.job],
    );
    expect(row).toEqual({ offset: log.length });
  });

  it('takes nobody new while it waits for its calls', async () => {
    const leaving = await startAgentSide(test.database, { folder: its.side.folder });
    const [agent] = await its.newAgent();
    const client = agent.client(leaving.port);
    await agent.connect({}, client);
    const stopped = leaving.close();
    const late = new TestSession(client.connect(), client);
    late.send({ hello: {} });
    expect((await late.answers.ended).code).toBe(grpc.status.UNAVAILABLE);
    const [other] = await its.newAgent();
    await expect(other.connect({}, other.client(leaving.port))).rejects.toThrow(/UNAVAILABLE/);
    await stopped;
  });

  it('leaves its agents to the next one, which they find without being refused', async () => {
    const [agent] = await its.newAgent();
    const first = await startAgentSide(test.database, { folder: its.side.folder });
    const before = await agent.connect({}, agent.client(first.port));
    await first.close();
    await before.answers.ended;
    const second = await startAgentSide(test.database, { folder: its.side.folder });
    const after = await agent.connect({}, agent.client(second.port));
    expect(second.side.sessions.count).toBe(1);
    await after.close();
    await second.close();
  });
});
