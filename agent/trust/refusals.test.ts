import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openAgentTrust } from '../../test/fixtures/agent-trust.ts';
import { authorizationRefusals } from '../../test/fixtures/refusal-cases/authorization.ts';
import { circumstanceRefusals } from '../../test/fixtures/refusal-cases/circumstances.ts';
import { documentRefusals } from '../../test/fixtures/refusal-cases/documents.ts';
import { createRefusalKit } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import type { RefusalCase } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import { workRefusals } from '../../test/fixtures/refusal-cases/work.ts';
import { createTrustWorld } from '../../test/fixtures/trust-world.ts';
import { openDocument } from '../../proto/documents/document.ts';
import { refusalReasons } from '../../proto/documents/reasons.ts';
import type { RefusalReason } from '../../proto/documents/reasons.ts';
import type { AgentTrust } from './agent-trust.ts';

/** Reasons that only the agent around this layer can give. */
const reasonsOfTheAgent = ['busy_changing', 'lease_expired', 'sandbox_unavailable'] as const;
type ReasonOfTrust = Exclude<RefusalReason, (typeof reasonsOfTheAgent)[number]>;

const world = await createTrustWorld();
const kit = createRefusalKit(world);
const cases: Record<ReasonOfTrust, RefusalCase[]> = {
  ...documentRefusals(kit),
  ...circumstanceRefusals(kit),
  ...authorizationRefusals(kit),
  ...workRefusals(kit),
};

let folder: string;
let opened: AgentTrust | undefined;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'ivtr-'));
});
afterEach(async () => {
  // The ledger of one case is closed already.
  await opened?.close().catch(() => undefined);
  opened = undefined;
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const flat = Object.entries(cases).flatMap(([reason, list]) =>
  list.map((one) => [reason as ReasonOfTrust, one.what, one] as const),
);

describe('a delivery is refused', () => {
  it.each(flat)('%s: %s', async (reason, _what, { deliver, options, prepare }) => {
    const stateDirectory = await mkdtemp(path.join(folder, 's'));
    const trust = await openAgentTrust(world, stateDirectory, options?.());
    opened = trust;
    await prepare?.(trust, stateDirectory);
    const delivery = await deliver(trust);
    const admission = await trust.admit(delivery);
    if (admission.admitted) throw new Error('it was admitted');
    expect(admission).toMatchObject({ reason });
    expect(admission.detail).not.toBe('');

    const receipt = openDocument('receipt', admission.receipt!, [world.agent.key]).payload;
    expect(receipt).toMatchObject({
      statement: 'refused',
      job: delivery.job,
      server: world.server.id,
      agentKey: world.agent.fingerprint,
      reason,
    });
    const burns: string[] = ['nonce_used', 'journal_unwritable'];
    expect(trust.ledger.hasJob(delivery.job)).toBe(burns.includes(reason));
  });

  it('for every reason that this layer can give', () => {
    const own: readonly string[] = reasonsOfTheAgent;
    const expected = refusalReasons.filter((reason) => !own.includes(reason));
    expect(Object.keys(cases).toSorted()).toEqual(expected.toSorted());
    expect(Object.values(cases).filter((list) => list.length === 0)).toEqual([]);
  });
});
