import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { receive, trustStateOf, usablePolicy } from '../../test/fixtures/agent-trust.ts';
import { createTrustWorld, createWorldKey } from '../../test/fixtures/trust-world.ts';
import { digestOf, mediaType } from '../../proto/documents/document.ts';
import { encodeEnvelope, parseEnvelope } from '../../proto/documents/dsse.ts';
import type { Grant } from '../../proto/documents/kinds/grant.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
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

/** Up to three of the fields. */
function someOf<T extends object>(fields: {
  [K in keyof T]?: fc.Arbitrary<T[K]>;
}): fc.Arbitrary<Partial<T>> {
  const names = Object.keys(fields) as (keyof T)[];
  const some = fc.subarray(names, { maxLength: 3 }).chain((chosen) => {
    const entries = chosen.map((name) => [name, fields[name]!] as const);
    return fc.record(Object.fromEntries(entries) as Record<string, fc.Arbitrary<unknown>>);
  });
  return some as unknown as fc.Arbitrary<Partial<T>>;
}

describe('a rogue engineer, who may sign anything', () => {
  const otherServer = randomUUID();
  const other = <T>(...values: T[]) => fc.constantFrom(...values);
  const orderFields: { [K in keyof Order]?: fc.Arbitrary<Order[K]> } = {
    server: other(world.server.id, otherServer),
    agentKey: other(world.agent.fingerprint, stranger.fingerprint),
    action: other('filesystem.check', 'filesystem.repair', 'command.run', 'disk.format'),
    actionVersion: other(1, 1, 2),
    mode: other('apply', 'apply', 'plan'),
    parameters: other<Order['parameters']>(
      { device: '/dev/vdb' },
      { device: '/dev/vda' },
      { device: '/dev/vdb', backupDirectory: '/tmp' },
      { argv: ['id'] },
      {},
    ),
    expect: other({}, { hostname: 'web-04' }, { hostname: 'web-05' }),
    issuedAt: other(now, now - 300, now + 45, now + 61),
    startBefore: other(now + 500, now + 1, now, now - 1),
    maxRuntimeSeconds: other(1, 604_800),
  };
  const grantFields: { [K in keyof Grant]?: fc.Arbitrary<Grant[K]> } = {
    account: other(world.account.id, world.account.id, randomUUID()),
    servers: other(
      [{ id: world.server.id, name: 'a' }],
      [{ id: otherServer, name: 'b' }],
      [{ id: world.server.id, name: 'a', agentKey: stranger.fingerprint }],
    ),
    actions: other<Grant['actions']>(
      [{ pattern: '*' }],
      [{ pattern: 'filesystem.*' }],
      [{ pattern: 'command.run' }, { pattern: 'filesystem.check' }],
      [{ pattern: '*', parameters: { device: ['/dev/vdb'] } }],
      [{ pattern: '*', parameters: { backupDirectory: ['/tmp'] } }],
    ),
    highestClass: other('A', 'B', 'C', 'C'),
    engineers: other(
      null,
      [world.engineers[0].fingerprint],
      world.engineers.map(({ fingerprint }) => fingerprint),
    ),
    engineersForClassC: other(1, 2),
    notBefore: other(now - 60, now + 60, now + 61),
    expiresAt: other(now + 600, now + 300, now),
  };
  /** A few fields of each, so that much of what is asked is still meant. */
  const order = someOf(orderFields);
  const grant = someOf(grantFields);
  const policy = fc.record({
    allow: other(['*'], ['*'], ['filesystem.*'], ['command.run'], []),
    deny: other<string[]>([], [], ['command.*']),
    'highest-class': other('A' as const, 'B' as const, 'C' as const, 'C' as const),
    'engineers-for-class-c': other(1, 2),
  });
  const base = other<Partial<Order>>(
    {},
    { action: 'command.run', parameters: { argv: ['id'] } },
    { action: 'filesystem.repair', mode: 'plan' },
  );
  const classes = {
    'filesystem.check': { apply: 'A' },
    'filesystem.repair': { plan: 'A' },
    'command.run': { apply: 'C' },
  } as Record<string, Partial<Record<Order['mode'], 'A' | 'C'>>>;

  /** What the client and the local administrator meant, written down a second time. */
  function isMeant(
    asked: Order,
    allowed: Grant,
    by: number,
    local: {
      allow: string[];
      deny: string[];
      'highest-class': string;
      'engineers-for-class-c': number;
    },
  ): boolean {
    const of = classes[asked.action]?.[asked.mode];
    const area = `${asked.action.split('.')[0]}.*`;
    const named = (patterns: string[]) =>
      patterns.some((pattern) => ['*', area, asked.action].includes(pattern));
    const parametersFit =
      asked.action === 'command.run'
        ? JSON.stringify(asked.parameters) === '{"argv":["id"]}'
        : 'device' in asked.parameters &&
          (Object.keys(asked.parameters).length === 1 || asked.action === 'filesystem.repair');
    const granted = allowed.actions
      .filter(({ pattern }) => named([pattern]))
      .some(({ parameters }) =>
        Object.entries(parameters ?? {}).every(
          ([name, [value]]) => asked.parameters[name] === value,
        ),
      );
    const needed =
      of === 'C' ? Math.max(allowed.engineersForClassC, local['engineers-for-class-c']) : 1;
    const people = world.engineers.slice(0, by).map(({ fingerprint }) => fingerprint);
    return (
      of !== undefined &&
      asked.actionVersion === 1 &&
      asked.server === world.server.id &&
      asked.agentKey === world.agent.fingerprint &&
      asked.expect.hostname !== 'web-05' &&
      asked.issuedAt <= now + 60 &&
      asked.startBefore > now &&
      allowed.account === world.account.id &&
      allowed.notBefore <= now + 60 &&
      allowed.expiresAt > now &&
      allowed.servers[0]!.id === world.server.id &&
      allowed.servers[0]!.agentKey === undefined &&
      granted &&
      parametersFit &&
      (of === 'A' || (allowed.highestClass === 'C' && local['highest-class'] === 'C')) &&
      named(local.allow) &&
      !named(local.deny) &&
      by >= needed &&
      people.every((one) => allowed.engineers === null || allowed.engineers.includes(one))
    );
  }

  it('gets carried out exactly what client and local administrator meant', () => {
    const judged = { ...state, facts: { hostname: 'web-04' } };
    let accepted = 0;
    fc.assert(
      fc.property(
        base,
        order,
        grant,
        policy,
        other(1, 1, 2),
        (start, asked, allowed, local, by) => {
          const made = attempt(() => {
            const signedGrant = world.signGrant(allowed);
            const changes = { authorization: signedGrant.digest, ...start, ...asked };
            const signers = world.engineers.slice(0, by).map(({ signer }) => signer);
            return { signedGrant, signedOrder: world.signOrder(changes, signers) };
          });
          // Documents that cannot even be written are the concern of other tests.
          fc.pre(made !== undefined);
          const { signedGrant, signedOrder } = made;
          const sent = receive(world.deliver(signedOrder, signedGrant));
          const is = verdict(sent, { ...judged, policy: usablePolicy(local) }) === 'accepted';
          accepted += Number(is);
          expect(is).toBe(isMeant(signedOrder.payload, signedGrant.payload, by, local));
        },
      ),
      { numRuns: 1500 },
    );
    expect(accepted).toBeGreaterThan(100);
  }, 60_000);

  it('makes no grant out of an order, nor an attestation for himself', () => {
    const [ana] = world.engineers;
    const own = world.signGrant({}, [ana.signer]);
    const relabelled = encodeEnvelope({
      ...parseEnvelope(own.envelope),
      payloadType: mediaType('attestation'),
    });
    const withThis = (envelope: Uint8Array) => {
      const signed = world.signOrder({ authorization: digestOf(envelope) });
      return verdict(receive(world.deliver(signed, { ...own, envelope })), {
        ...state,
        self: { ...state.self, mode: 'rescue' },
      });
    };
    expect(withThis(own.envelope)).toBe('signer_unknown');
    expect(withThis(relabelled)).toBe('signature_invalid');
    const attestation = world.signAttestation({}, [ana.signer]);
    expect(withThis(attestation.envelope)).toBe('attestation_not_allowed');
  });
});

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
