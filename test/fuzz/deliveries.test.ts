import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Delivery } from '../../agent/connection/courier.ts';
import type { AgentTrust, AgentTrustOptions } from '../../agent/trust/agent-trust.ts';
import { lock } from '../../agent/trust/lock.ts';
import { readUnverified } from '../../proto/documents/document.ts';
import type { Grant } from '../../proto/documents/kinds/grant.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import { refusalReasons } from '../../proto/documents/reasons.ts';
import type { RefusalReason } from '../../proto/documents/reasons.ts';
import { receive, verdictOf } from '../fixtures/agent-trust.ts';
import { useOpenedTrust } from '../fixtures/opened-trust.ts';
import { classC, HOUR } from '../fixtures/refusal-cases/refusal-kit.ts';
import { createWorldKey, uuidV7 } from '../fixtures/trust-world.ts';
import { createChance, mutate } from './mutation.ts';

const RUNS = 3_000;
const chance = createChance();
const its = useOpenedTrust();

/** A state of the agent, and why everything is refused in it. */
interface AgentState {
  reason: RefusalReason | null;
  options?: () => Partial<AgentTrustOptions>;
  prepare?: (trust: AgentTrust) => Promise<void>;
}

let wallMs: number;
const withPolicy = (text: string) => () =>
  writeFile(path.join(its.stateDirectory, 'policy.toml'), text);

const states: Record<string, AgentState> = {
  'as installed': { reason: null },
  locked: { reason: 'locked', prepare: () => lock(its.stateDirectory) },
  'a day ahead': {
    reason: 'clock_jumped',
    options: () => {
      wallMs = its.world.now * 1000;
      return { timeSource: { wallMs: () => wallMs, monotonicMs: () => 0 } };
    },
    prepare: async () => {
      wallMs += 25 * HOUR * 1000;
    },
  },
  'told that the engineer is revoked': {
    reason: 'revoked',
    prepare: (trust) =>
      trust.replaceRevocations({ ids: [its.world.engineers[0].fingerprint], documents: [] }),
  },
  'without a policy': { reason: 'policy_missing', prepare: withPolicy('version = ') },
  'with a policy that denies': {
    reason: 'policy_denied',
    prepare: withPolicy('version = 1\nallow = ["*"]\ndeny = ["command.*"]\nhighest-class = "C"\n'),
  },
};

type Fault<T> = [reason: RefusalReason | null, changes: () => Partial<T>];

const orderFaults: Fault<Order>[] = [
  [null, () => ({})],
  ['wrong_server', () => ({ server: randomUUID() })],
  // Also the one of another boot: a rescue agent makes its key anew.
  ['wrong_agent', () => ({ agentKey: createWorldKey().fingerprint })],
  ['identity_mismatch', () => ({ expect: { serial: 'S2' } })],
  [
    'order_not_yet_valid',
    () => ({ issuedAt: its.world.now + 300, startBefore: its.world.now + 600 }),
  ],
  ['order_expired', () => ({ issuedAt: its.world.now - 901, startBefore: its.world.now - 1 })],
  ['action_version_unknown', () => ({ actionVersion: 9 })],
  ['mode_not_supported', () => ({ mode: 'undo', undoes: uuidV7() })],
];

const grantFaults: Fault<Grant>[] = [
  [null, () => ({})],
  ['grant_mismatch', () => ({ account: randomUUID() })],
  ['grant_not_yet_valid', () => ({ notBefore: its.world.now + 300 })],
  ['grant_expired', () => ({ notBefore: its.world.now - HOUR, expiresAt: its.world.now - 1 })],
  ['grant_server_not_covered', () => ({ servers: [{ id: randomUUID(), name: 'other' }] })],
  ['grant_action_not_covered', () => ({ actions: [{ pattern: 'filesystem.*' }] })],
  ['grant_class_not_covered', () => ({ highestClass: 'B' })],
  [
    'grant_parameter_not_covered',
    () => ({ actions: [{ pattern: 'command.run', parameters: { argv: [['false']] } }] }),
  ],
  ['engineer_not_named', () => ({ engineers: [its.world.engineers[1].fingerprint] })],
];

function deliver(orderChanges: Partial<Order>, grantChanges: Partial<Grant>): Delivery {
  const grant = its.world.signGrant(grantChanges);
  const order = { ...classC, authorization: grant.digest, ...orderChanges };
  return receive(its.world.deliver(its.world.signOrder(order), grant));
}

const firstOf = (reasons: readonly (RefusalReason | null)[]) =>
  refusalReasons.find((reason) => reasons.includes(reason)) ?? null;

/** Refused with this reason, and a receipt says so; nothing is used up. */
async function expectRefused(trust: AgentTrust, delivery: Delivery, reason: RefusalReason) {
  const admission = await trust.admit(delivery);
  expect(verdictOf(admission)).toBe(reason);
  const { job } = delivery;
  const { fingerprint } = its.world.agent;
  expect(its.readReceipt(admission.receipt!)).toMatchObject({
    ...{ statement: 'refused', job, server: its.world.server.id, agentKey: fingerprint, reason },
  });
  expect(trust.ledger.hasJob(job)).toBe(false);
}

describe(`deliveries (seed ${chance.seed})`, () => {
  it.each(Object.entries(states))(
    'with every fault of order and grant together are refused for the first, by an agent %s',
    async (_, { reason: stateReason, options, prepare }) => {
      const trust = await its.openTrust(options?.());
      const used = deliver({}, {});
      expect(verdictOf(await trust.admit(used))).toBe('admitted');
      await prepare?.(trust);
      let refused = 0;
      for (const [orderReason, orderChanges] of orderFaults) {
        for (const [grantReason, grantChanges] of grantFaults) {
          const reason = firstOf([stateReason, orderReason, grantReason]);
          const delivery = deliver(orderChanges(), grantChanges());
          if (reason === null) continue;
          await expectRefused(trust, delivery, reason);
          refused++;
        }
      }
      // Used up stays used up, also where it is refused for another reason first.
      expect(verdictOf(await trust.admit(used))).toBe(stateReason ?? 'nonce_used');
      expect(trust.ledger.hasJob(used.job)).toBe(true);
      expect(refused).toBe(
        orderFaults.length * grantFaults.length - (stateReason === null ? 1 : 0),
      );
      if (stateReason === null) {
        expect(verdictOf(await trust.admit(deliver({}, {})))).toBe('admitted');
      }
    },
  );

  it(`mutated ${RUNS} times are all refused, and each has a receipt`, async () => {
    const trust = await its.openTrust();
    const original = its.kit.planned(its.world.signPlan());
    const sent = readUnverified('order', original.order).payload;
    const others = [
      its.world.root.envelope,
      its.world.account.envelope,
      its.world.signPlan().envelope,
      its.world.signGrant().envelope,
      its.world.signAttestation().envelope,
      its.world.signOrder(classC).envelope,
    ];
    const pieces = ['"', '{', '}', ',', '==', '[]', '\0'].map((text) => Buffer.from(text));
    const damaged = (bytes: Uint8Array) => mutate(chance, Buffer.from(bytes), pieces);
    const change = {
      order: () => ({ order: chance.pick([damaged(original.order), ...others]) }),
      authorization: () => ({
        authorization: chance.pick([damaged(original.authorization!), null, ...others]),
      }),
      certifications: () => ({
        // The engineer's own and the lead's: the third is of somebody who did not sign.
        certifications: original.certifications.with(
          chance.below(2),
          chance.pick([damaged(original.certifications[0]!), ...others]),
        ),
      }),
      plan: () => ({ plan: chance.pick([damaged(original.plan!), null, ...others]) }),
      job: () => ({ job: chance.pick([uuidV7(), '', '../..', 'x'.repeat(5_000)]) }),
    };
    const parts = Object.keys(change) as (keyof typeof change)[];
    const none = Buffer.of();
    let rewritten = 0;
    for (let run = 0; run < RUNS; run++) {
      const part = chance.pick(parts);
      const delivery: Delivery = { ...original, ...change[part]() };
      const why = `INTERVENE_FUZZ_SEED=${chance.seed}, run ${run}: ${part}`;
      const isUnchanged =
        Buffer.compare(delivery.order, original.order) === 0 &&
        Buffer.compare(delivery.authorization ?? none, original.authorization!) === 0 &&
        Buffer.compare(delivery.plan ?? none, original.plan!) === 0 &&
        delivery.certifications.every(
          (bytes, at) => Buffer.compare(bytes, original.certifications[at]!) === 0,
        ) &&
        delivery.job === original.job;
      if (isUnchanged) continue;
      const admission = await trust.admit(delivery);
      if (admission.admitted) {
        // An envelope may be written differently; all that was signed is then what it was.
        expect(admission.order.order, why).toEqual(sent);
        expect(admission.order.plan?.digest, why).toBe(sent.plan);
        expect(admission.order.authorization.digest, why).toBe(sent.authorization);
        rewritten++;
        continue;
      }
      const hasName = delivery.job.length === 36;
      expect(admission.receipt !== null, why).toBe(hasName);
    }
    expect(trust.ledger.hasJob(original.job)).toBe(rewritten > 0);
    expect(rewritten).toBeLessThan(2);
    expect(verdictOf(await trust.admit(original))).toBe(rewritten > 0 ? 'nonce_used' : 'admitted');
  });
});
