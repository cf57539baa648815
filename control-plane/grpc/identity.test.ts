import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, Tenant, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import type { ErrorBody } from '../../test/fixtures/http-api.ts';
import {
  certificatePem,
  enroll,
  makeTlsKey,
  sha256,
  TestAgent,
} from '../../test/fixtures/test-agent.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
const agents: TestAgent[] = [];

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
});
afterEach(() => {
  for (const agent of agents.splice(0)) agent.close();
});
afterAll(() => side.close());

interface EnrollmentBody {
  token: string;
  caPin: string;
  agentAddress: string;
  installerUrl: string;
  installerDigest: string;
  rootDigest: string;
  accountKeysDigest: string;
  expiresAt: string;
}

async function newToken(tenant: Tenant): Promise<string> {
  const path = `/api/v1/servers/${tenant.serverId}/enrollments`;
  const { body } = await tenant.client.post<EnrollmentBody>(path, { mode: 'resident' });
  return body.token;
}

async function newAgent(mode: 'resident' | 'rescue' = 'resident'): Promise<[TestAgent, Tenant]> {
  const tenant = await operation.addServer(operation.tenant);
  const agent = await TestAgent.enroll(side, tenant.world, tenant.client, mode);
  agents.push(agent);
  return [agent, tenant];
}

async function auditKinds(accountId: string): Promise<string[]> {
  const rows = await test.database.query<{ kind: string }>(
    'select kind from audit_entries where chain = $1 order by sequence',
    [`account:${accountId}`],
  );
  return rows.map((row) => row.kind);
}

const denied = { code: grpc.status.PERMISSION_DENIED };

describe('enrolment', () => {
  it('is prepared with everything an install line needs', async () => {
    const { tenant, world } = operation;
    const path = `/api/v1/servers/${tenant.serverId}/enrollments`;
    const { status, body } = await tenant.client.post<EnrollmentBody>(path, { mode: 'rescue' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      caPin: side.authority.pin,
      agentAddress: 'agents.example:7401',
      installerUrl: 'https://control.example/install/install.sh',
      installerDigest: sha256(Buffer.from('#!/bin/sh\necho installed\n')),
      rootDigest: world.root.digest,
      accountKeysDigest: tenant.world.account.digest,
    });
    expect(Buffer.from(body.token, 'base64url')).toHaveLength(32);
    const minutes = (Date.parse(body.expiresAt) - Date.now()) / 60_000;
    expect(minutes).toBeGreaterThan(14.5);
    expect(minutes).toBeLessThanOrEqual(15);
  });

  it('serves the installer without a token, and nothing outside its folder', async () => {
    const found = await side.api.request('GET', '/install/install.sh');
    expect(found).toMatchObject({ status: 200, body: '#!/bin/sh\necho installed\n' });
    expect(found.headers.get('intervene-digest')).toBe(sha256(Buffer.from(found.body as string)));
    for (const name of ['..%2fca%2fca.key', 'ca', '.hidden', 'nothing.sh', '%2e%2e', 'ca.key']) {
      expect((await side.api.request('GET', `/install/${name}`)).status).toBe(404);
    }
  });

  it('of a server of another account is not possible, which does not even exist', async () => {
    const other = await operation.addTenant();
    const path = `/api/v1/servers/${operation.tenant.serverId}/enrollments`;
    const answer = await other.client.post<ErrorBody>(path, { mode: 'resident' });
    expect(answer).toMatchObject({ status: 404, body: { error: { code: 'server_not_found' } } });
  });

  it('gives a token holder an agent, and the documents it compares with its pins', async () => {
    const tenant = await operation.addServer(operation.tenant);
    const { request } = await makeTlsKey();
    const answer = await enroll(side, tenant.world, await newToken(tenant), request);
    expect(answer).toMatchObject({ serverId: tenant.serverId, accountId: tenant.accountId });
    expect(answer.rootChain).toEqual([Buffer.from(operation.world.root.envelope)]);
    expect(answer.accountKeys).toEqual([Buffer.from(tenant.world.account.envelope)]);
    const read = side.authority.readAgentCertificate(answer.certificate!)!;
    expect(read.agentId).toBe(answer.agentId);
    const hours = (read.expiresAt.getTime() - Date.now()) / 3600_000;
    expect(hours).toBeCloseTo(1, 1);
  });

  it('takes each token once; the second one who brings it raises an alarm', async () => {
    const tenant = await operation.addServer(await operation.addTenant());
    const token = await newToken(tenant);
    const { request } = await makeTlsKey();
    await enroll(side, tenant.world, token, request);
    await expect(enroll(side, tenant.world, token, request)).rejects.toMatchObject(denied);
    expect(await auditKinds(tenant.accountId)).toContain('alarm.enrollment_token_reused');
  });

  it('takes no earlier token of the same person once there is a newer one', async () => {
    const tenant = await operation.addServer(await operation.addTenant());
    const earlier = await newToken(tenant);
    const newer = await newToken(tenant);
    const { request } = await makeTlsKey();
    await expect(enroll(side, tenant.world, earlier, request)).rejects.toMatchObject(denied);
    await enroll(side, tenant.world, newer, request);
  });

  it('of two that bring one token at once lets one in', async () => {
    const tenant = await operation.addServer(operation.tenant);
    const token = await newToken(tenant);
    const { request } = await makeTlsKey();
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, () => enroll(side, tenant.world, token, request)),
    );
    expect(tries.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  });

  it('burns a token that came too late', async () => {
    const tenant = await operation.addServer(operation.tenant);
    const token = await newToken(tenant);
    const { request } = await makeTlsKey();
    await test.database.query(`update enrollments set expires_at = now() where server_id = $1`, [
      tenant.serverId,
    ]);
    await expect(enroll(side, tenant.world, token, request)).rejects.toMatchObject(denied);
    const left = await test.database.query('select from enrollments where server_id = $1', [
      tenant.serverId,
    ]);
    expect(left).toEqual([]);
  });

  it('burns the token of a request that is not right', async () => {
    const tenant = await operation.addServer(operation.tenant);
    const token = await newToken(tenant);
    const { request } = await makeTlsKey();
    const invalid = { code: grpc.status.INVALID_ARGUMENT };
    await expect(
      enroll(side, tenant.world, token, Buffer.from('not a request')),
    ).rejects.toMatchObject(invalid);
    await expect(enroll(side, tenant.world, token, request)).rejects.toMatchObject(denied);
  });

  it('refuses weak keys, wrong recipients and tokens of any other shape', async () => {
    const { request } = await makeTlsKey();
    const tenant = await operation.addServer(operation.tenant);
    const weak = { ...tenant.world, agent: { ...tenant.world.agent, key: weakKey() } };
    await expect(enroll(side, weak, await newToken(tenant), request)).rejects.toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
    });
    for (const token of ['', 'x', 'A'.repeat(44), `${'A'.repeat(42)}\0`, '…'.repeat(43)]) {
      await expect(enroll(side, tenant.world, token, request)).rejects.toMatchObject(denied);
    }
  });

  it('of a server with a resident agent needs its client, also with a token from before', async () => {
    const tenant = await operation.addServer(await operation.addTenant());
    const path = `/api/v1/servers/${tenant.serverId}/enrollments`;
    const early = await operation.engineer.post<EnrollmentBody>(path, { mode: 'resident' });
    const { request } = await makeTlsKey();
    await enroll(side, tenant.world, await newToken(tenant), request);
    for (const mode of ['resident', 'rescue']) {
      expect(await operation.engineer.post<ErrorBody>(path, { mode })).toMatchObject({
        status: 403,
        body: { error: { code: 'client_needed' } },
      });
    }
    const agent = { ...tenant.world.agent, ...createWorldKey() };
    const world = { ...tenant.world, agent };
    await expect(enroll(side, world, early.body.token, request)).rejects.toMatchObject({
      ...denied,
      details: expect.stringContaining('client_needed') as string,
    });
    expect(await auditKinds(tenant.accountId)).not.toContain('alarm.agent_replaced');
    await enroll(side, world, await newToken(tenant), request);
    expect(await auditKinds(tenant.accountId)).toContain('alarm.agent_replaced');
  });

  it('of a server that has an agent replaces it, and sends the former one away', async () => {
    const [agent, tenant] = await newAgent();
    const session = await agent.connect();
    const key = createWorldKey();
    const world = { ...tenant.world, agent: { ...tenant.world.agent, ...key } };
    const { request } = await makeTlsKey();
    await enroll(side, world, await newToken(tenant), request);
    expect(await session.answers.ended).toMatchObject({
      ...denied,
      details: expect.stringContaining('agent_replaced') as string,
    });
    await expect(agent.connect()).rejects.toThrow(/agent_replaced/);
    await expect(agent.renew()).rejects.toMatchObject(denied);
  });

  it('refuses a key that another agent uses', async () => {
    const [, tenant] = await newAgent();
    const { request } = await makeTlsKey();
    await expect(enroll(side, tenant.world, await newToken(tenant), request)).rejects.toMatchObject(
      { code: grpc.status.FAILED_PRECONDITION },
    );
  });
});

describe('renewal', () => {
  it('gives a new certificate, with which the agent goes on', async () => {
    const [agent] = await newAgent();
    const { certificate } = await agent.renew();
    agent.identity.certificatePem = certificatePem(certificate!);
    await (await agent.connect()).close();
    const second = (await agent.renew()).certificate!;
    expect(second).not.toEqual(certificate);
    agent.identity.certificatePem = certificatePem(second);
    await (await agent.connect()).close();
  });

  it('answers the same request again while nobody has used the answer: it may have been lost', async () => {
    const [agent] = await newAgent();
    const first = await agent.renew();
    const again = await agent.renew();
    expect(again.certificate).toEqual(first.certificate);
  });

  it('of one certificate twice quarantines the agent: neither holder is accepted any more', async () => {
    const [agent, tenant] = await newAgent();
    const thief = { ...agent.identity };
    agent.identity.certificatePem = certificatePem((await agent.renew()).certificate!);
    const session = await agent.connect();
    const stolen = new TestAgent(side, tenant.world, { ...thief, request: agent.request }, {
      agentId: agent.agentId,
    } as never);
    stolen.identity = thief;
    agents.push(stolen);
    await expect(stolen.renew()).rejects.toMatchObject(denied);
    expect(await session.answers.ended).toMatchObject(denied);
    for (const holder of [agent, stolen]) {
      await expect(holder.connect()).rejects.toThrow(/agent_quarantined/);
      await expect(holder.renew()).rejects.toMatchObject(denied);
    }
    expect(await auditKinds(tenant.accountId)).toContain('alarm.certificate_serial_reused');
    const { body } = await tenant.client.get<{ agent: { state: string } }>(
      `/api/v1/servers/${tenant.serverId}`,
    );
    expect(body.agent.state).toBe('quarantined');
  });

  it('with a certificate from after a backup that was put back is carried on, once', async () => {
    const [agent, tenant] = await newAgent();
    const columns = 'certificate_serial, previous_serial, certificate, certificate_request_hash';
    const [known] = await test.database.query(`select ${columns} from agents where id = $1`, [
      agent.agentId,
    ]);
    // Certificates count whole seconds.
    await delay(1_100);
    const takenAt = new Date();
    await delay(1_100);
    agent.identity.certificatePem = certificatePem((await agent.renew()).certificate!);
    const thief = { ...agent.identity };
    const putBack = () =>
      test.database.query(`update agents set (${columns}) = ($2, $3, $4, $5) where id = $1`, [
        agent.agentId,
        ...Object.values(known!),
      ]);
    await putBack();
    await test.database.query('insert into restorations (id, taken_at) values ($1, $2)', [
      randomUUID(),
      takenAt,
    ]);
    try {
      await delay(1_100);
      const adopted = await agent.renew();
      agent.identity.certificatePem = certificatePem(adopted.certificate!);
      expect(await auditKinds(tenant.accountId)).toContain('agent.certificate_adopted');
      await agent.connect();
      const stolen = new TestAgent(side, tenant.world, { ...thief, request: agent.request }, {
        agentId: agent.agentId,
      } as never);
      stolen.identity = thief;
      agents.push(stolen);
      await expect(stolen.renew()).rejects.toMatchObject(denied);
      expect(await auditKinds(tenant.accountId)).toContain('alarm.certificate_serial_reused');
    } finally {
      await test.database.query('delete from restorations');
    }
  });
  it('of one certificate twice, with another request, quarantines even before the answer was used', async () => {
    const [agent] = await newAgent();
    await agent.renew();
    const { request } = await makeTlsKey();
    await expect(agent.renew(request)).rejects.toMatchObject(denied);
    await expect(agent.connect()).rejects.toThrow(/agent_quarantined/);
  });

  it('lets a session stay when its certificate is renewed, and ends it when it is not', async () => {
    const [agent] = await newAgent();
    const session = await agent.connect();
    const endsSoon = new Date(Date.now() + 1_500);
    side.side.sessions.prolong(agent.agentId, endsSoon);
    await agent.renew();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(side.side.sessions.find(agent.agentId)).toBeDefined();
    side.side.sessions.prolong(agent.agentId, new Date());
    expect((await session.answers.ended).code).not.toBe(grpc.status.OK);
  });

  it('of a rescue agent needs a valid grant, or a job that has not ended', async () => {
    const [agent, tenant] = await newAgent('rescue');
    await expect(agent.renew()).rejects.toMatchObject({
      ...denied,
      details: expect.stringContaining('grant_missing') as string,
    });
    const grant = tenant.world.signGrant();
    await side.api.services.grants.add(tenant.client.caller, grant.envelope);
    await agent.renew();
    const hours = (
      await test.database.query<{ hours: number }>(
        `select extract(epoch from certificate_expires_at - now())::float8 / 3600 as hours
         from agents where id = $1`,
        [agent.agentId],
      )
    )[0]!.hours;
    expect(hours).toBeCloseTo(4, 1);
  });

  it('of a rescue agent stops when its grant is revoked, and after 24 hours', async () => {
    const [agent, tenant] = await newAgent('rescue');
    const grant = tenant.world.signGrant();
    const { id } = await side.api.services.grants.add(tenant.client.caller, grant.envelope);
    await test.database.query(
      `update agents set created_at = now() - interval '22 hours' where id = $1`,
      [agent.agentId],
    );
    const { certificate } = await agent.renew();
    const read = side.authority.readAgentCertificate(certificate!)!;
    expect((read.expiresAt.getTime() - Date.now()) / 3600_000).toBeCloseTo(2, 1);
    agent.identity.certificatePem = certificatePem(certificate!);
    await side.api.services.revocations.revokeGrant(tenant.client.caller, id, {
      afterStep: false,
      reason: 'done',
    });
    await expect(agent.renew()).rejects.toThrow(/grant_missing/);
    await test.database.query(
      `update agents set created_at = now() - interval '25 hours' where id = $1`,
      [agent.agentId],
    );
    await expect(agent.renew()).rejects.toThrow(/rescue_over/);
  });
});

function weakKey() {
  return { type: 'ed25519' as const, public: Buffer.alloc(32).toString('base64url') };
}
