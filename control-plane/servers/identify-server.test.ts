import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, Tenant, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import type { Answer, ErrorBody } from '../../test/fixtures/http-api.ts';
import { sent } from '../../test/fixtures/tenant.ts';
import { TestAgent } from '../../test/fixtures/test-agent.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
let rescue: Tenant;
let resident: Tenant;
const mac = '52:54:00:00:00:01';
const good = { serial: 'CZ1', macAddresses: [mac.toUpperCase()], hostname: 'rescue' };

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
  resident = operation.tenant;
  await TestAgent.enroll(side, resident.world, resident.client);
  rescue = await operation.addServer(resident);
  const agent = await TestAgent.enroll(side, rescue.world, rescue.client, 'rescue');
  const facts = { hostname: 'rescue', serial: 'CZ1', macAddresses: [mac] };
  await agent.connect({ facts });
});
afterAll(() => side.close());

const identify = (tenant: Tenant, identity: object, person = operation.engineer) =>
  person.post<ErrorBody & { identity: object }>(
    `/api/v1/servers/${tenant.serverId}/identity`,
    identity,
  );
const refusal = ({ status, body }: Answer<ErrorBody>) => [status, body.error.code];

describe('which machine a server in rescue is', () => {
  it('is kept with who confirmed it and when, and told in the account', async () => {
    const { status, body } = await identify(rescue, good);
    expect(status).toBe(200);
    expect(body.identity).toMatchObject({
      ...good,
      confirmedBy: operation.engineer.caller.name,
      confirmedAt: expect.stringMatching(/^\d{4}-/) as string,
    });
    const rows = await test.database.query<{ content: object }>(
      `select content from audit_entries where kind = 'server.identified'`,
    );
    expect(rows).toMatchObject([{ content: { serial: 'CZ1', server: rescue.serverId } }]);
  });

  it.each([
    [{ ...good, serial: 'CZ2' }],
    [{ ...good, macAddresses: [mac, '52:54:00:00:00:02'] }],
    [{ ...good, hostname: 'other' }],
  ])('is not what the machine itself does not say: %j', async (identity) => {
    expect(refusal(await identify(rescue, identity))).toEqual([409, 'identity_mismatch']);
  });

  it('is more than a host name', async () => {
    const nothing = { serial: null, macAddresses: [], hostname: 'rescue' };
    expect(refusal(await identify(rescue, nothing))).toEqual([400, 'identity_empty']);
    expect(refusal(await identify(rescue, { ...good, macAddresses: ['x'] }))).toEqual([
      400,
      'invalid_request',
    ]);
  });

  it('is not for a server that opted in, nor for clients to say', async () => {
    expect(refusal(await identify(resident, good))).toEqual([409, 'agent_not_in_rescue']);
    expect((await identify(rescue, good, rescue.client)).status).toBe(403);
  });
});

describe('an attestation', () => {
  it('is taken for a server in rescue and refused for one that opted in', async () => {
    const hand = (tenant: Tenant) =>
      operation.engineer.post<ErrorBody>(
        '/api/v1/grants',
        sent(tenant.world.signAttestation({}, [operation.certified.signer]).envelope),
      );
    expect((await hand(rescue)).status).toBe(201);
    expect(refusal(await hand(resident))).toEqual([409, 'attestation_not_allowed']);
  });
});
