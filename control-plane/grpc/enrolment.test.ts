import * as grpc from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { useEnrolledAgents } from '../../test/fixtures/enrolled-agents.ts';
import type { EnrollmentBody } from '../../test/fixtures/enrolled-agents.ts';
import type { ErrorBody } from '../../test/fixtures/http-api.ts';
import { enroll, makeTlsKey, sha256 } from '../../test/fixtures/test-agent.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';

const test = useTestDatabase();
const its = useEnrolledAgents(test);

const denied = { code: grpc.status.PERMISSION_DENIED };

describe('enrolment', () => {
  it('is prepared with everything an install line needs', async () => {
    const { tenant, world } = its.operation;
    const path = `/api/v1/servers/${tenant.serverId}/enrollments`;
    const { status, body } = await tenant.client.post<EnrollmentBody>(path, { mode: 'rescue' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      caPin: its.side.authority.pin,
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
    const found = await its.side.api.request('GET', '/install/install.sh');
    expect(found).toMatchObject({ status: 200, body: '#!/bin/sh\necho installed\n' });
    expect(found.headers.get('intervene-digest')).toBe(sha256(Buffer.from(found.body as string)));
    for (const name of ['..%2fca%2fca.key', 'ca', '.hidden', 'nothing.sh', '%2e%2e', 'ca.key']) {
      expect((await its.side.api.request('GET', `/install/${name}`)).status).toBe(404);
    }
  });

  it('of a server of another account is not possible, which does not even exist', async () => {
    const other = await its.operation.addTenant();
    const path = `/api/v1/servers/${its.operation.tenant.serverId}/enrollments`;
    const answer = await other.client.post<ErrorBody>(path, { mode: 'resident' });
    expect(answer).toMatchObject({ status: 404, body: { error: { code: 'server_not_found' } } });
  });

  it('gives a token holder an agent, and the documents it compares with its pins', async () => {
    const tenant = await its.operation.addServer(its.operation.tenant);
    const { request } = await makeTlsKey();
    const answer = await enroll(its.side, tenant.world, await its.newToken(tenant), request);
    expect(answer).toMatchObject({ serverId: tenant.serverId, accountId: tenant.accountId });
    expect(answer.rootChain).toEqual([Buffer.from(its.operation.world.root.envelope)]);
    expect(answer.accountKeys).toEqual([Buffer.from(tenant.world.account.envelope)]);
    const read = its.side.authority.readAgentCertificate(answer.certificate!)!;
    expect(read.agentId).toBe(answer.agentId);
    const hours = (read.expiresAt.getTime() - Date.now()) / 3600_000;
    expect(hours).toBeCloseTo(1, 1);
  });

  it('takes each token once; the second one who brings it raises an alarm', async () => {
    const tenant = await its.operation.addServer(await its.operation.addTenant());
    const token = await its.newToken(tenant);
    const { request } = await makeTlsKey();
    await enroll(its.side, tenant.world, token, request);
    await expect(enroll(its.side, tenant.world, token, request)).rejects.toMatchObject(denied);
    expect(await its.auditKinds(tenant.accountId)).toContain('alarm.enrollment_token_reused');
  });

  it('takes no earlier token of the same person once there is a newer one', async () => {
    const tenant = await its.operation.addServer(await its.operation.addTenant());
    const earlier = await its.newToken(tenant);
    const newer = await its.newToken(tenant);
    const { request } = await makeTlsKey();
    await expect(enroll(its.side, tenant.world, earlier, request)).rejects.toMatchObject(denied);
    await enroll(its.side, tenant.world, newer, request);
  });

  it('of two that bring one token at once lets one in', async () => {
    const tenant = await its.operation.addServer(its.operation.tenant);
    const token = await its.newToken(tenant);
    const { request } = await makeTlsKey();
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, () => enroll(its.side, tenant.world, token, request)),
    );
    expect(tries.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  });

  it('burns a token that came too late', async () => {
    const tenant = await its.operation.addServer(its.operation.tenant);
    const token = await its.newToken(tenant);
    const { request } = await makeTlsKey();
    await test.database.query(`update enrollments set expires_at = now() where server_id = $1`, [
      tenant.serverId,
    ]);
    await expect(enroll(its.side, tenant.world, token, request)).rejects.toMatchObject(denied);
    const left = await test.database.query('select from enrollments where server_id = $1', [
      tenant.serverId,
    ]);
    expect(left).toEqual([]);
  });

  it('burns the token of a request that is not right', async () => {
    const tenant = await its.operation.addServer(its.operation.tenant);
    const token = await its.newToken(tenant);
    const { request } = await makeTlsKey();
    const invalid = { code: grpc.status.INVALID_ARGUMENT };
    await expect(
      enroll(its.side, tenant.world, token, Buffer.from('not a request')),
    ).rejects.toMatchObject(invalid);
    await expect(enroll(its.side, tenant.world, token, request)).rejects.toMatchObject(denied);
  });

  it('refuses weak keys, wrong recipients and tokens of any other shape', async () => {
    const { request } = await makeTlsKey();
    const tenant = await its.operation.addServer(its.operation.tenant);
    const weak = { ...tenant.world, agent: { ...tenant.world.agent, key: weakKey() } };
    await expect(enroll(its.side, weak, await its.newToken(tenant), request)).rejects.toMatchObject(
      {
        code: grpc.status.INVALID_ARGUMENT,
      },
    );
    for (const token of ['', 'x', 'A'.repeat(44), `${'A'.repeat(42)}\0`, '…'.repeat(43)]) {
      await expect(enroll(its.side, tenant.world, token, request)).rejects.toMatchObject(denied);
    }
  });

  it('of a server with a resident agent needs its client, also with a token from before', async () => {
    const tenant = await its.operation.addServer(await its.operation.addTenant());
    const path = `/api/v1/servers/${tenant.serverId}/enrollments`;
    const early = await its.operation.engineer.post<EnrollmentBody>(path, { mode: 'resident' });
    const { request } = await makeTlsKey();
    await enroll(its.side, tenant.world, await its.newToken(tenant), request);
    for (const mode of ['resident', 'rescue']) {
      expect(await its.operation.engineer.post<ErrorBody>(path, { mode })).toMatchObject({
        status: 403,
        body: { error: { code: 'client_needed' } },
      });
    }
    const agent = { ...tenant.world.agent, ...createWorldKey() };
    const world = { ...tenant.world, agent };
    await expect(enroll(its.side, world, early.body.token, request)).rejects.toMatchObject({
      ...denied,
      details: expect.stringContaining('client_needed') as string,
    });
    expect(await its.auditKinds(tenant.accountId)).not.toContain('alarm.agent_replaced');
    await enroll(its.side, world, await its.newToken(tenant), request);
    expect(await its.auditKinds(tenant.accountId)).toContain('alarm.agent_replaced');
  });

  it('of a server that has an agent replaces it, and sends the former one away', async () => {
    const [agent, tenant] = await its.newAgent();
    const session = await agent.connect();
    const key = createWorldKey();
    const world = { ...tenant.world, agent: { ...tenant.world.agent, ...key } };
    const { request } = await makeTlsKey();
    await enroll(its.side, world, await its.newToken(tenant), request);
    expect(await session.answers.ended).toMatchObject({
      ...denied,
      details: expect.stringContaining('agent_replaced') as string,
    });
    await expect(agent.connect()).rejects.toThrow(/agent_replaced/);
    await expect(agent.renew()).rejects.toMatchObject(denied);
  });

  it('refuses a key that another agent uses', async () => {
    const [, tenant] = await its.newAgent();
    const { request } = await makeTlsKey();
    await expect(
      enroll(its.side, tenant.world, await its.newToken(tenant), request),
    ).rejects.toMatchObject({ code: grpc.status.FAILED_PRECONDITION });
  });
});

function weakKey() {
  return { type: 'ed25519' as const, public: Buffer.alloc(32).toString('base64url') };
}
