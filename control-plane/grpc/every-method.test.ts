import { randomUUID } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentService } from '../../proto/wire.ts';
import type { AgentServiceClient } from '../../proto/wire.ts';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, Tenant, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { Orders } from '../../test/fixtures/ordered-jobs.ts';
import { dial, makeTlsKey, TestAgent } from '../../test/fixtures/test-agent.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';

const callers = ['nobody', 'own', 'stranger', 'quarantined', 'replaced'] as const;
type Caller = (typeof callers)[number];
type Client = InstanceType<typeof AgentServiceClient>;
interface Told {
  status: string;
  said: string;
}
interface Row {
  /** Statuses in the order of `callers`. Every question is about the server and the job of `own`. */
  answers: string;
  ask: (client: Client) => Promise<Told>;
}

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
let own: Tenant;
let job: string;
const agents: Partial<Record<Caller, TestAgent>> = {};

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
  own = operation.tenant;
  const join = async (tenant: Tenant) => TestAgent.enroll(side, tenant.world, tenant.client);
  agents.own = await join(own);
  job = (await new Orders(operation, own).place()).payload.job;
  await test.database.query(`update jobs set state = 'running' where id = $1`, [job]);
  agents.stranger = await join(await operation.addTenant());
  agents.quarantined = await join(await operation.addServer(own));
  agents.replaced = await join(await operation.addServer(own));
  for (const what of ['quarantined', 'replaced'] as const) {
    await test.database.query(`update agents set ${what}_at = now() where id = $1`, [
      agents[what]!.agentId,
    ]);
  }
});
afterAll(async () => {
  for (const agent of Object.values(agents)) agent.close();
  await side.close();
});

/** One answer of a stream or a call, and how it went. */
function answerTo(call: {
  on(event: string, listener: (value: never) => void): unknown;
  cancel(): void;
}): Promise<Told> {
  return new Promise((resolve) => {
    call.on('data', (message: object) => {
      resolve({ status: 'OK', said: JSON.stringify(message) });
      call.cancel();
    });
    call.on('error', () => {});
    call.on('status', ({ code, details }: grpc.StatusObject) =>
      resolve({ status: grpc.status[code], said: details }),
    );
  });
}

function unary(
  start: (done: (error: grpc.ServiceError | null, value?: object) => void) => unknown,
): Promise<Told> {
  return new Promise((resolve) => {
    start((error, value) =>
      resolve(
        error
          ? { status: grpc.status[error.code], said: error.details }
          : { status: 'OK', said: JSON.stringify(value) },
      ),
    );
  });
}

async function enrollment(): Promise<string> {
  const server = await operation.addServer(own);
  const path = `/api/v1/servers/${server.serverId}/enrollments`;
  return (await own.client.post<{ token: string }>(path, { mode: 'resident' })).body.token;
}

/** A method that is missing here fails the test. */
const expected: Record<string, Row> = {
  //                           nobody own stranger quarantined replaced
  Enroll: {
    // Its token decides, whoever brings it.
    answers: 'OK OK OK OK OK',
    ask: async (client) => {
      const token = await enrollment();
      const { request } = await makeTlsKey();
      return unary((done) =>
        client.enroll(
          {
            token,
            certificateRequest: request,
            agentKey: createWorldKey().key.public,
            ageRecipient: own.world.agent.ageRecipient,
            facts: {},
          },
          done as never,
        ),
      );
    },
  },
  Connect: {
    answers: 'UNAUTHENTICATED OK OK PERMISSION_DENIED PERMISSION_DENIED',
    ask: async (client) => {
      const call = client.connect();
      const told = answerTo(call as never);
      call.write({ hello: { knownJobs: [job], facts: {} } });
      return told;
    },
  },
  UploadLog: {
    answers: 'UNAUTHENTICATED OK NOT_FOUND PERMISSION_DENIED PERMISSION_DENIED',
    ask: async (client) => {
      const call = client.uploadLog();
      const told = answerTo(call as never);
      call.write({ jobId: job });
      return told;
    },
  },
  Terminal: {
    // Nobody opened one.
    answers: 'UNAUTHENTICATED NOT_FOUND NOT_FOUND PERMISSION_DENIED PERMISSION_DENIED',
    ask: async (client) => {
      const call = client.terminal();
      const told = answerTo(call as never);
      call.write({ attachment: { jobId: job, attachment: randomUUID() } });
      return told;
    },
  },
  // Last: whoever renews has another certificate from then on.
  Renew: {
    // The stranger's own certificate, and nothing of anybody else.
    answers: 'UNAUTHENTICATED OK OK PERMISSION_DENIED PERMISSION_DENIED',
    ask: async (client) => {
      const { request } = await makeTlsKey();
      return unary((done) => client.renew({ certificateRequest: request }, done as never));
    },
  },
};

async function ask(method: string, caller: Caller): Promise<Told> {
  const client = dial(side, agents[caller]?.identity ?? null);
  try {
    return await expected[method]!.ask(client);
  } finally {
    client.close();
  }
}

describe('every method of the agent service', () => {
  it('has a row of expected answers, and every row a method', () => {
    const methods = Object.values(agentService).map(({ path }) => path.split('/').at(-1)!);
    expect(Object.keys(expected).toSorted()).toEqual(methods.toSorted());
  });

  it.each(Object.keys(expected))(
    '%s answers every caller as it should, and a stranger nothing of another account',
    async (method) => {
      const got: Record<string, string> = {};
      for (const caller of callers) {
        const { status, said } = await ask(method, caller);
        got[caller] = status;
        const marks = [own.accountId, own.serverId, agents.own!.agentId];
        if (caller !== 'stranger' || method === 'Enroll') continue;
        for (const mark of marks) expect(`${method} ${said}`).not.toContain(mark);
      }
      const statuses = expected[method]!.answers.split(' ');
      expect(got).toEqual(Object.fromEntries(callers.map((caller, at) => [caller, statuses[at]])));
    },
  );
});
