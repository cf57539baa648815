import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  openAgentTrust,
  OPEN_POLICY,
  receive,
  requireAdmitted,
  verdictOf,
} from '../../test/fixtures/agent-trust.ts';
import { signAccountKeys } from '../../test/fixtures/chains.ts';
import { createRefusalKit, HOUR, repair } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import type { RefusalKit } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import { createTrustWorld, createWorldKey, uuidV7 } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld } from '../../test/fixtures/trust-world.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { Delivery } from '../connection/courier.ts';
import type { AgentTrust } from './agent-trust.ts';
import type { AgentTrustOptions } from './agent-trust.ts';

let world: TrustWorld;
let kit: RefusalKit;
let stateDirectory: string;
const opened: AgentTrust[] = [];

beforeAll(async () => {
  world = await createTrustWorld();
  kit = createRefusalKit(world);
});
beforeEach(async () => {
  stateDirectory = await mkdtemp(path.join(tmpdir(), 'ivat-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (trust) => trust.close()));
  await rm(stateDirectory, { recursive: true });
});

async function openTrust(changes: Partial<AgentTrustOptions> = {}): Promise<AgentTrust> {
  const trust = await openAgentTrust(world, stateDirectory, changes);
  opened.push(trust);
  return trust;
}

const admit = async (trust: AgentTrust, delivery: Delivery) =>
  requireAdmitted(await trust.admit(delivery));

describe('the undo of a job', () => {
  it('is admitted after its grant has ended and was revoked and its key replaced', async () => {
    const grant = world.signGrant({ expiresAt: world.now + 600 });
    const plan = world.signPlan();
    const apply = world.signOrder({ ...repair, authorization: grant.digest, plan: plan.digest });
    let wallMs = world.now * 1000;
    const timeSource = { wallMs: () => wallMs, monotonicMs: () => 0 };
    const first = await openTrust({ timeSource });
    expect(verdictOf(await first.admit(receive(world.deliver(apply, grant, plan))))).toBe(
      'admitted',
    );

    const keys = [createWorldKey().key, world.account.recovery.key];
    const replaced = signAccountKeys(
      world.account.id,
      keys,
      [world.account.recovery.signer],
      world.account.envelope,
      { version: 2 },
    );
    await first.acceptTrust({ rootChain: [], accountKeys: [replaced] });
    const ids = [grant.payload.id, world.account.signing.fingerprint];
    await first.replaceRevocations({ ids, documents: [] });
    await opened.pop()!.close();

    wallMs += 2 * HOUR * 1000;
    const issuedAt = world.now + 2 * HOUR;
    const undoOrder = (changes: Partial<Order> = {}) =>
      receive(
        world.deliver(
          world.signOrder({
            ...repair,
            authorization: grant.digest,
            mode: 'undo',
            undoes: apply.payload.job,
            job: uuidV7(),
            issuedAt,
            startBefore: issuedAt + 600,
            ...changes,
          }),
          grant,
        ),
      );
    const second = await openTrust({ timeSource });
    const { order } = await admit(second, undoOrder());
    expect(order).toMatchObject({ order: { undoes: apply.payload.job }, actionClass: 'C' });

    const again = undoOrder({ mode: 'apply', undoes: null, plan: plan.digest });
    expect(verdictOf(await second.admit({ ...again, plan: plan.envelope }))).toBe('signer_unknown');
  });

  it('is admitted on the attestation of the job, which whoever ordered it did not attest', async () => {
    const trust = await openTrust(kit.rescue());
    const third = world.certify('engineer', world.lead.signer);
    const certifications = [...world.certifications, third.envelope];
    const ordering = [world.engineers[0].signer, third.signer];
    const attestation = world.signAttestation();
    const plan = world.signPlan();
    const common = { ...repair, authorization: attestation.digest, expect: { serial: 'S1' } };
    const apply = world.signOrder({ ...common, plan: plan.digest }, ordering);
    const delivery = receive(world.deliver(apply, attestation, plan));
    expect(verdictOf(await trust.admit({ ...delivery, certifications }))).toBe('admitted');

    const undo = (signers: typeof ordering) => {
      const changes = { mode: 'undo', undoes: apply.payload.job, job: uuidV7() } as const;
      const order = world.signOrder({ ...common, ...changes }, signers);
      return { ...receive(world.deliver(order, attestation)), certifications };
    };
    const byAttester = [world.engineers[1].signer, third.signer];
    expect(verdictOf(await trust.admit(undo(byAttester)))).toBe('attestation_not_allowed');
    const [ana, ben] = world.engineers;
    const another = createWorldKey();
    const { person } = ben;
    const again = world.certify('engineer', world.lead.signer, { person, keys: [another.key] });
    const byOtherKey = undo([another.signer, third.signer]);
    const known = [...certifications, again.envelope];
    expect(verdictOf(await trust.admit({ ...byOtherKey, certifications: known }))).toBe(
      'attestation_not_allowed',
    );

    await trust.replaceRevocations({ ids: [ben.fingerprint], documents: [] });
    const withoutAttester = [world.lead, ana, third].map(({ envelope }) => envelope);
    const last = { ...undo(ordering), certifications: withoutAttester };
    expect(verdictOf(await trust.admit(last))).toBe('admitted');
  });

  it('is refused when the local policy has come to deny it', async () => {
    const trust = await openTrust();
    const delivery = await kit.undone(trust, {});
    const text = `${OPEN_POLICY}deny = ["filesystem.repair"]\n`;
    await writeFile(path.join(stateDirectory, 'policy.toml'), text);
    expect(verdictOf(await trust.admit(delivery))).toBe('policy_denied');
  });
});
