import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { receive, trustStateOf } from '../../test/fixtures/agent-trust.ts';
import { createPasskey } from '../../test/fixtures/passkey.ts';
import { createTrustWorld, createWorldKey, uuidV7 } from '../../test/fixtures/trust-world.ts';
import { openDocument, signDocument } from '../../proto/documents/document.ts';
import { encodeEnvelope, parseEnvelope } from '../../proto/documents/dsse.ts';
import type { Grant } from '../../proto/documents/kinds/grant.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import { refusalReasons } from '../../proto/documents/reasons.ts';
import type { RefusalReason } from '../../proto/documents/reasons.ts';
import type { Delivery } from '../connection/courier.ts';
import type { TrustState } from './trust-state.ts';
import { verifyDelivery } from './verify-delivery.ts';

const world = await createTrustWorld();
const state = trustStateOf(world);
const { now } = world;
const stranger = createWorldKey();

const verdict = (delivery: Delivery, judged: TrustState = state) => {
  const verification = verifyDelivery(delivery, judged);
  return verification.accepted ? 'accepted' : verification.reason;
};

/** An order of class C by two engineers, with a plan, on a grant that allows just that. */
const grant = world.signGrant({
  actions: [{ pattern: 'filesystem.repair', parameters: { device: ['/dev/vdb'] } }],
  engineersForClassC: 2,
});
const plan = world.signPlan();
const orderChanges: Partial<Order> = {
  action: 'filesystem.repair',
  parameters: { device: '/dev/vdb' },
  plan: plan.digest,
  authorization: grant.digest,
};
const engineers = world.engineers.map(({ signer }) => signer);
const order = world.signOrder(orderChanges, engineers);
const delivery = receive(world.deliver(order, grant, plan));

describe('a courier', () => {
  const documents = ['order', 'authorization', 'plan', 'certification'] as const;
  const replace = (name: (typeof documents)[number], bytes: Buffer): Delivery => {
    if (name !== 'certification') return { ...delivery, [name]: bytes };
    return { ...delivery, certifications: delivery.certifications.with(0, bytes) };
  };
  const original = (name: (typeof documents)[number]) =>
    name === 'certification' ? delivery.certifications[0]! : delivery[name]!;

  it('delivers what is accepted', () => {
    expect(verdict(delivery)).toBe('accepted');
  });

  it('gets nothing else accepted by changing a byte of any document', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...documents),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (name, place, change) => {
          const bytes = Buffer.from(original(name));
          bytes[place % bytes.length]! ^= change;
          expect(verdict(replace(name, bytes))).not.toBe('accepted');
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('gets nothing else accepted by changing a field and signing with keys of its own', () => {
    const kinds = { order, authorization: grant, plan };
    fc.assert(
      fc.property(
        fc.constantFrom('order' as const, 'authorization' as const, 'plan' as const),
        fc.nat(),
        fc.constantFrom(stranger, world.engineers[0], world.account.recovery, world.agent),
        fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.constant([])),
        (name, place, { signer, fingerprint }, value) => {
          const { payload, envelope } = kinds[name];
          const fields = Object.keys(payload);
          const field = fields[place % fields.length]!;
          const changed = Buffer.from(JSON.stringify({ ...payload, [field]: value }));
          const parsed = parseEnvelope(envelope);
          const forged = encodeEnvelope({
            ...parsed,
            payload: changed,
            signatures: [{ keyid: fingerprint, sig: signer.sign(changed) }],
          });
          expect(verdict(replace(name, Buffer.from(forged)))).not.toBe('accepted');
        },
      ),
      { numRuns: 500 },
    );
  });

  it('gets nothing accepted by exchanging documents', () => {
    const all = [
      delivery.order,
      delivery.authorization!,
      delivery.plan!,
      ...delivery.certifications,
      world.root.envelope,
      world.account.envelope,
    ];
    const exchanged = documents.flatMap((name) =>
      all
        .filter((other) => other !== original(name))
        .map((other) => verdict(replace(name, Buffer.from(other)))),
    );
    expect(exchanged).not.toContain('accepted');
  });

  it('may send certifications of a root that is not this one, if those that count are there', () => {
    const otherRoot = createWorldKey();
    const { person, key } = world.engineers[0];
    const lead = world.certify('lead', otherRoot.signer, { keys: [world.lead.key] });
    const foreign = world.certify('engineer', otherRoot.signer, { person, keys: [key] });
    const others = [lead.envelope, foreign.envelope];
    const certifications = [...others, ...delivery.certifications, ...others];
    expect(verdict({ ...delivery, certifications })).toBe('accepted');
    expect(verdict({ ...delivery, certifications: others })).toBe('signer_unknown');
  });

  it('may send as many certifications as there can be', () => {
    const certifications = Array.from({ length: 32 }, (_unused, index) =>
      delivery.certifications.at(index % 3)!,
    );
    expect(verdict({ ...delivery, certifications })).toBe('accepted');
  });

  it('may leave out, repeat and reorder certifications, if those that count are there', () => {
    const [lead, ana, ben] = delivery.certifications as [Uint8Array, Uint8Array, Uint8Array];
    const withThese = (certifications: Uint8Array[]) => verdict({ ...delivery, certifications });
    expect(withThese([ben, lead, ana, lead])).toBe('accepted');
    expect(withThese([lead, ana])).toBe('signer_unknown');
    expect(withThese([])).toBe('signer_unknown');
  });
});

describe('a rogue lead', () => {
  it('certifies with a passkey nobody', () => {
    const passkey = createPasskey();
    const lead = world.certify('lead', world.root.signer, { keys: [passkey.key] });
    const friend = createWorldKey();
    const certification = passkey.signDocument('engineer', {
      person: randomUUID(),
      name: 'friend',
      keys: [friend.key],
      notBefore: now - 60,
      expiresAt: now + 600,
    });
    const forged = world.signOrder(orderChanges, [friend.signer]);
    const certifications = [lead.envelope, certification];
    const sent = { ...receive(world.deliver(forged, grant, plan)), certifications };
    expect(verdict(sent)).toBe('signer_unknown');
  });
});

describe('the first check that fails', () => {
  interface Fault {
    reason: RefusalReason;
    state?: Partial<TrustState>;
    order?: Partial<Order>;
    grant?: Partial<Grant>;
    withoutGrant?: true;
  }
  const faults: Fault[] = [
    { reason: 'locked', state: { locked: true } },
    { reason: 'wrong_server', order: { server: randomUUID() } },
    { reason: 'wrong_agent', order: { agentKey: stranger.fingerprint } },
    { reason: 'identity_mismatch', order: { expect: { serial: 'S2' } } },
    { reason: 'clock_jumped', state: { time: { now, nowMs: now * 1000, jumped: true } } },
    { reason: 'order_expired', order: { issuedAt: now - 600, startBefore: now - 1 } },
    { reason: 'revoked', state: { isRevoked: (id) => id === world.engineers[0].fingerprint } },
    { reason: 'action_version_unknown', order: { actionVersion: 9 } },
    { reason: 'mode_not_supported', order: { mode: 'undo', undoes: uuidV7() } },
    { reason: 'grant_missing', withoutGrant: true },
    { reason: 'grant_mismatch', grant: { account: randomUUID() } },
    { reason: 'grant_expired', grant: { expiresAt: now } },
    { reason: 'grant_server_not_covered', grant: { servers: [{ id: randomUUID(), name: 'x' }] } },
    { reason: 'grant_action_not_covered', grant: { actions: [{ pattern: 'boot.*' }] } },
    { reason: 'grant_class_not_covered', grant: { highestClass: 'A' } },
    { reason: 'engineer_not_named', grant: { engineers: [stranger.fingerprint] } },
    { reason: 'policy_missing', state: { policy: { usable: false, why: 'gone', fault: 'file' } } },
    { reason: 'engineers_too_few', grant: { engineersForClassC: 2 } },
    { reason: 'parameters_invalid', order: { parameters: { argv: [] } } },
    { reason: 'plan_mismatch', order: { plan: plan.digest } },
    { reason: 'sealed_input_unreadable', order: { sealedInputs: { password: '' } } },
  ];

  it('names the reason, in the published order', () => {
    const base: Partial<Order> = { action: 'command.run', parameters: { argv: ['true'] } };
    fc.assert(
      fc.property(fc.subarray(faults), (chosen) => {
        const signedGrant = world.signGrant(merge(chosen.map((fault) => fault.grant)));
        const authorization = signedGrant.digest;
        const changes = { ...base, authorization, ...merge(chosen.map((fault) => fault.order)) };
        const isUndo = changes.mode === 'undo';
        const signed = world.signOrder(isUndo ? { ...changes, plan: null } : changes);
        const sent = receive(world.deliver(signed, signedGrant));
        const withoutGrant = chosen.some((fault) => fault.withoutGrant);
        const judged = { ...state, ...merge(chosen.map((fault) => fault.state)) };
        const expected = refusalReasons.find((reason) =>
          chosen.some((fault) => fault.reason === reason),
        );
        expect(verdict({ ...sent, ...(withoutGrant && { authorization: null }) }, judged)).toBe(
          expected ?? 'accepted',
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe('an unexpected failure', () => {
  it('is not a verdict', () => {
    const broken: TrustState = {
      ...state,
      findAction: () => {
        throw new TypeError('a defect');
      },
    };
    expect(() => verifyDelivery(delivery, broken)).toThrow('a defect');
  });
});

describe('judging a delivery', () => {
  it('takes well under 2 ms', () => {
    const times = Array.from({ length: 100 }, () => {
      const fresh = receive(world.deliverValid());
      const start = performance.now();
      verifyDelivery(fresh, state);
      return performance.now() - start;
    });
    times.sort((a, b) => a - b);
    // The quicker quarter: other tests run on this machine.
    expect(times[25]).toBeLessThan(2);
  });

  it('does not depend on who judged before: a certification counts for its own root', () => {
    expect(verdict(delivery)).toBe('accepted');
    const otherRoot = createWorldKey();
    const foreign = signDocument(
      'root',
      {
        version: 1,
        previous: null,
        issuedAt: now,
        threshold: 1,
        keys: [{ key: otherRoot.key, name: 'other', may: ['lead', 'engineer'] }],
      },
      [otherRoot.signer],
    );
    const judged = { ...state, root: openDocument('root', foreign, [otherRoot.key]) };
    expect(verdict(delivery, judged)).toBe('signer_unknown');
  });
});

function merge<T extends object>(parts: (T | undefined)[]): T {
  return Object.assign({}, ...parts) as T;
}
