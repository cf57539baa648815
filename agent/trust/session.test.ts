import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openAgentTrust, receive, requireAdmitted } from '../../test/fixtures/agent-trust.ts';
import { createTrustWorld } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld } from '../../test/fixtures/trust-world.ts';
import { digestOf, openDocument } from '../../proto/documents/document.ts';
import {
  deriveSessionKeys,
  generateSessionKey,
  joinSessionKeys,
} from '../../proto/terminal/session-keys.ts';
import type { Delivery } from '../connection/courier.ts';
import type { AgentTrust } from './agent-trust.ts';

let world: TrustWorld;
let stateDirectory: string;
let trust: AgentTrust;

beforeAll(async () => {
  world = await createTrustWorld();
});
beforeEach(async () => {
  stateDirectory = await mkdtemp(path.join(tmpdir(), 'ivse-'));
  trust = await openAgentTrust(world, stateDirectory);
});
afterEach(async () => {
  await trust.close();
  await rm(stateDirectory, { recursive: true });
});

function terminal(sessionKey: string): Delivery {
  const grant = world.signGrant({
    actions: [{ pattern: 'terminal.open' }],
    highestClass: 'C',
  });
  const order = world.signOrder({
    action: 'terminal.open',
    mode: 'apply',
    parameters: { sessionKey },
    authorization: grant.digest,
  });
  return receive(world.deliver(order, grant));
}

function receiptOf(envelope: Uint8Array) {
  const { payload } = openDocument('receipt', envelope, [world.agent.key]);
  if (payload.statement !== 'accepted') throw new Error(payload.statement);
  return payload;
}

describe('an order for a terminal', () => {
  it('is accepted with the agent’s half of a key that only engineer and agent can make', async () => {
    const own = generateSessionKey();
    const delivery = terminal(own.public);
    const admitted = requireAdmitted(await trust.admit(delivery));
    const receipt = receiptOf(admitted.receipt);
    expect(receipt.sessionKey).not.toBe(own.public);
    const keys = deriveSessionKeys(own.privateKey, receipt.sessionKey!, {
      job: delivery.job,
      order: digestOf(delivery.order),
      engineer: own.public,
      agent: receipt.sessionKey!,
    });
    expect(admitted.sessionKeys).toEqual(joinSessionKeys(keys));
  });

  it('gets another key each time', async () => {
    const { public: key } = generateSessionKey();
    const one = requireAdmitted(await trust.admit(terminal(key)));
    const two = requireAdmitted(await trust.admit(terminal(key)));
    expect(receiptOf(one.receipt).sessionKey).not.toBe(receiptOf(two.receipt).sessionKey);
    expect(one.sessionKeys).not.toEqual(two.sessionKeys);
  });

  it('is refused with a key that would make the secret known to everybody', async () => {
    const weak = Buffer.alloc(32).toString('base64url');
    const refused = await trust.admit(terminal(weak));
    expect(refused).toMatchObject({ admitted: false, reason: 'parameters_invalid' });
  });

  it.each(['', 'A'.repeat(42), `${'A'.repeat(42)}B`])('is refused with %j as key', async (key) => {
    const refused = await trust.admit(terminal(key));
    expect(refused).toMatchObject({ admitted: false, reason: 'parameters_invalid' });
  });
});

it('an order for anything else gets no key', async () => {
  const admitted = requireAdmitted(await trust.admit(receive(world.deliverValid())));
  expect(admitted.sessionKeys).toBeNull();
  expect(receiptOf(admitted.receipt).sessionKey).toBeUndefined();
});
