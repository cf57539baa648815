import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  openAgentTrust,
  OPEN_POLICY,
  receive,
  verdictOf,
} from '../../test/fixtures/agent-trust.ts';
import { createTrustWorld } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld } from '../../test/fixtures/trust-world.ts';
import type { Grant } from '../../proto/documents/kinds/grant.ts';
import type { JsonValue } from '../../proto/documents/fields.ts';
import type { AgentTrust } from './agent-trust.ts';

let world: TrustWorld;
let stateDirectory: string;
let trust: AgentTrust | undefined;

beforeAll(async () => {
  world = await createTrustWorld();
});
beforeEach(async () => {
  stateDirectory = await mkdtemp(path.join(tmpdir(), 'ivso-'));
});
afterEach(async () => {
  await trust?.close();
  await rm(stateDirectory, { recursive: true });
});

const LIMITS = ['Service.LimitNOFILE=4096'];
const PROGRAM = ['Service.ExecStart=', 'Service.ExecStart=/bin/sh'];
const allowing = (pattern: string, settings?: string[]): Grant['actions'] => [
  { pattern, ...(settings !== undefined && { parameters: { settings: [settings] } }) },
];

interface Strictness {
  highestClass?: 'B' | 'C';
  policyClass?: 'B' | 'C';
  mode?: 'plan' | 'apply';
}

/** What the agent answers to an order, correctly signed, whatever made it. */
async function verdict(
  action: string,
  settings: string[],
  actions: Grant['actions'],
  { highestClass = 'C', policyClass = 'C', mode = 'plan' }: Strictness = {},
) {
  trust = await openAgentTrust(world, stateDirectory);
  await writeFile(
    path.join(stateDirectory, 'policy.toml'),
    OPEN_POLICY.replace('"C"', `"${policyClass}"`),
  );
  const grant = world.signGrant({ actions, highestClass });
  const parameters: Record<string, JsonValue> = { unit: 'a.service', dropIn: 'a', settings };
  const order = world.signOrder({
    action,
    mode,
    plan: null,
    parameters,
    authorization: grant.digest,
  });
  return verdictOf(await trust.admit(receive(world.deliver(order, grant))));
}

describe('an order about a service', () => {
  it('that sets limits the client has read is admitted', async () => {
    const actions = allowing('service.configure', LIMITS);
    expect(await verdict('service.configure', LIMITS, actions, { highestClass: 'B' })).toBe(
      'admitted',
    );
  });

  it('that sets other limits than the client has read is refused', async () => {
    const actions = allowing('service.configure', LIMITS);
    const others = ['Service.LimitNOFILE=1'];
    expect(await verdict('service.configure', others, actions)).toBe('grant_parameter_not_covered');
  });

  it('that brings in settings which no limit of the grant names is refused', async () => {
    expect(await verdict('service.configure', LIMITS, allowing('service.*'))).toBe(
      'grant_parameter_not_covered',
    );
  });

  it('that sets a program as if it were a limit is refused, though the client has signed just that', async () => {
    const actions = allowing('service.configure', PROGRAM);
    expect(await verdict('service.configure', PROGRAM, actions)).toBe('parameters_invalid');
  });

  it('that sets a program is not covered by a grant for limits', async () => {
    const actions = allowing('service.configure', PROGRAM);
    expect(await verdict('service.override', PROGRAM, actions)).toBe('grant_action_not_covered');
  });

  it('that sets a program is admitted where it is allowed by name, with its content', async () => {
    const actions = allowing('service.override', PROGRAM);
    expect(await verdict('service.override', PROGRAM, actions)).toBe('admitted');
  });

  it('that sets a program is refused where grant or policy allow class B at most', async () => {
    const actions = allowing('service.override', PROGRAM);
    const apply = { mode: 'apply' } as const;
    expect(
      await verdict('service.override', PROGRAM, actions, { ...apply, highestClass: 'B' }),
    ).toBe('grant_class_not_covered');
    await trust?.close();
    expect(
      await verdict('service.override', PROGRAM, actions, { ...apply, policyClass: 'B' }),
    ).toBe('policy_denied');
    await trust?.close();
    expect(await verdict('service.override', PROGRAM, actions, apply)).toBe('plan_missing');
  });
});
