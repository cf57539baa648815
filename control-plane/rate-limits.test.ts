import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../test/fixtures/database.ts';
import type { ErrorBody } from '../test/fixtures/http-api.ts';
import { Orders } from '../test/fixtures/ordered-jobs.ts';
import { enroll, makeTlsKey, TestAgent } from '../test/fixtures/test-agent.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
});
afterAll(() => side.close());

describe('whoever reads a log', () => {
  it('stands in the audit, once, however often they come back to it', async () => {
    const tenant = await operation.addTenant();
    await TestAgent.enroll(side, tenant.world, tenant.client);
    const order = await new Orders(operation, tenant).place();
    const path = `/api/v1/jobs/${order.payload.job}/log`;
    const auditor = await side.api.person('auditor');
    const reads = () =>
      test.database.query<{ actor: string; content: object }>(
        `select actor, content from audit_entries where kind = 'log.read' order by sequence`,
      );
    for (const person of [auditor, auditor, tenant.client, auditor]) {
      expect((await person.get(path)).status).toBe(200);
    }
    await Promise.all([operation.engineer.get(path), operation.engineer.get(path)]);
    const content = { job: order.payload.job };
    expect(await reads()).toEqual(
      [auditor, tenant.client, operation.engineer].map(({ caller }) => ({
        actor: `person:${caller.personId}`,
        content,
      })),
    );
    await test.database.query(`update audit_reads set at = now() - interval '25 hours'`);
    await auditor.get(path);
    expect(await reads()).toHaveLength(4);
    expect((await (await operation.addTenant()).client.get(path)).status).toBe(404);
    expect(await reads()).toHaveLength(4);
  });
});

describe('whoever asks for too much', () => {
  it('of tokens or enrolments is told how long to wait, and nobody else is', async () => {
    const { tenant } = operation;
    const other = await operation.addTenant();
    const asked = [
      ['/api/v1/tokens', { label: 'x' }, 30],
      [`/api/v1/servers/${tenant.serverId}/enrollments`, { mode: 'resident' }, 100],
    ] as const;
    for (const [path, body, burst] of asked) {
      let refused = await tenant.client.post<ErrorBody>(path, body);
      // What a slow machine gives back meanwhile may be asked for, too.
      for (let time = 1; refused.status === 201 && time < 4 * burst; time++) {
        refused = await tenant.client.post<ErrorBody>(path, body);
        if (time < burst) expect(refused.status).toBe(201);
      }
      expect([refused.status, refused.body.error.code]).toEqual([429, 'too_many_requests']);
      const seconds = Number(refused.headers.get('retry-after'));
      expect(seconds).toBeGreaterThan(0);
      expect(seconds).toBeLessThanOrEqual(60);
      expect(refused.body.error.happened).toContain(`in ${seconds} s`);
    }
    expect((await other.client.post('/api/v1/tokens', { label: 'x' })).status).toBe(201);
  }, 60_000);

  it('guesses at log-ins or at enrolments is told the same', async () => {
    const guess = { invitation: `ivi_${'x'.repeat(43)}`, label: 'x' };
    const redeem = () =>
      side.api.request<ErrorBody>('POST', '/api/v1/invitations/redeem', undefined, guess);
    let refused = await redeem();
    for (let time = 1; refused.status !== 429 && time < 50; time++) refused = await redeem();
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(6);
    expect(refused.body.error.happened).toMatch(/possible in \d+ s/);

    const { request } = await makeTlsKey();
    const token = 'x'.repeat(43);
    const attempt = () =>
      enroll(side, operation.tenant.world, token, request).catch((error: unknown) => error);
    let answer = await attempt();
    expect(answer).toMatchObject({ code: grpc.status.PERMISSION_DENIED });
    const isRefused = () => (answer as grpc.ServiceError).code === grpc.status.PERMISSION_DENIED;
    for (let time = 1; isRefused() && time < 100; time++) answer = await attempt();
    expect(answer).toMatchObject({
      code: grpc.status.RESOURCE_EXHAUSTED,
      details: expect.stringMatching(/possible in \d+ s/) as string,
    });
  }, 60_000);
});
