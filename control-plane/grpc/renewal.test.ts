import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { useEnrolledAgents } from '../../test/fixtures/enrolled-agents.ts';
import { certificatePem, makeTlsKey, TestAgent } from '../../test/fixtures/test-agent.ts';

const test = useTestDatabase();
const its = useEnrolledAgents(test);

const denied = { code: grpc.status.PERMISSION_DENIED };

describe('renewal', () => {
  it('gives a new certificate, with which the agent goes on', async () => {
    const [agent] = await its.newAgent();
    const { certificate } = await agent.renew();
    agent.identity.certificatePem = certificatePem(certificate!);
    await (await agent.connect()).close();
    const second = (await agent.renew()).certificate!;
    expect(second).not.toEqual(certificate);
    agent.identity.certificatePem = certificatePem(second);
    await (await agent.connect()).close();
  });

  it('answers the same request again while nobody has used the answer: it may have been lost', async () => {
    const [agent] = await its.newAgent();
    const first = await agent.renew();
    const again = await agent.renew();
    expect(again.certificate).toEqual(first.certificate);
  });

  it('of one certificate twice quarantines the agent: neither holder is accepted any more', async () => {
    const [agent, tenant] = await its.newAgent();
    const thief = { ...agent.identity };
    agent.identity.certificatePem = certificatePem((await agent.renew()).certificate!);
    const session = await agent.connect();
    const stolen = new TestAgent(its.side, tenant.world, { ...thief, request: agent.request }, {
      agentId: agent.agentId,
    } as never);
    stolen.identity = thief;
    its.open.push(stolen);
    await expect(stolen.renew()).rejects.toMatchObject(denied);
    expect(await session.answers.ended).toMatchObject(denied);
    for (const holder of [agent, stolen]) {
      await expect(holder.connect()).rejects.toThrow(/agent_quarantined/);
      await expect(holder.renew()).rejects.toMatchObject(denied);
    }
    expect(await its.auditKinds(tenant.accountId)).toContain('alarm.certificate_serial_reused');
    const { body } = await tenant.client.get<{ agent: { state: string } }>(
      `/api/v1/servers/${tenant.serverId}`,
    );
    expect(body.agent.state).toBe('quarantined');
  });

  it('with a certificate from after a backup that was put back is carried on, once', async () => {
    const [agent, tenant] = await its.newAgent();
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
      expect(await its.auditKinds(tenant.accountId)).toContain('agent.certificate_adopted');
      await agent.connect();
      const stolen = new TestAgent(its.side, tenant.world, { ...thief, request: agent.request }, {
        agentId: agent.agentId,
      } as never);
      stolen.identity = thief;
      its.open.push(stolen);
      await expect(stolen.renew()).rejects.toMatchObject(denied);
      expect(await its.auditKinds(tenant.accountId)).toContain('alarm.certificate_serial_reused');
    } finally {
      await test.database.query('delete from restorations');
    }
  });
  it('of one certificate twice, with another request, quarantines even before the answer was used', async () => {
    const [agent] = await its.newAgent();
    await agent.renew();
    const { request } = await makeTlsKey();
    await expect(agent.renew(request)).rejects.toMatchObject(denied);
    await expect(agent.connect()).rejects.toThrow(/agent_quarantined/);
  });

  it('lets a session stay when its certificate is renewed, and ends it when it is not', async () => {
    const [agent] = await its.newAgent();
    const session = await agent.connect();
    const endsSoon = new Date(Date.now() + 1_500);
    its.side.side.sessions.prolong(agent.agentId, endsSoon);
    await agent.renew();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(its.side.side.sessions.find(agent.agentId)).toBeDefined();
    its.side.side.sessions.prolong(agent.agentId, new Date());
    expect((await session.answers.ended).code).not.toBe(grpc.status.OK);
  });

  it('of a rescue agent needs a valid grant, or a job that has not ended', async () => {
    const [agent, tenant] = await its.newAgent('rescue');
    await expect(agent.renew()).rejects.toMatchObject({
      ...denied,
      details: expect.stringContaining('grant_missing') as string,
    });
    const grant = tenant.world.signGrant();
    await its.side.api.services.grants.add(tenant.client.caller, grant.envelope);
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
    const [agent, tenant] = await its.newAgent('rescue');
    const grant = tenant.world.signGrant();
    const { id } = await its.side.api.services.grants.add(tenant.client.caller, grant.envelope);
    await test.database.query(
      `update agents set created_at = now() - interval '22 hours' where id = $1`,
      [agent.agentId],
    );
    const { certificate } = await agent.renew();
    const read = its.side.authority.readAgentCertificate(certificate!)!;
    expect((read.expiresAt.getTime() - Date.now()) / 3600_000).toBeCloseTo(2, 1);
    agent.identity.certificatePem = certificatePem(certificate!);
    await its.side.api.services.revocations.revokeGrant(tenant.client.caller, id, {
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
