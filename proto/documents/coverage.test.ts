import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { actions, findAction } from '../actions/catalogue.ts';
import type { ActionDeclaration } from '../actions/declaration.ts';
import { coversOrder, orderClass } from './coverage.ts';
import type { JsonValue } from './fields.ts';
import type { Grant } from './kinds/grant.ts';
import type { Order } from './kinds/order.ts';

type CoveringGrant = Parameters<typeof coversOrder>[0];
type CoveredOrder = Parameters<typeof coversOrder>[1];

const server = '11111111-1111-4111-8111-111111111111';
const otherServer = '22222222-2222-4222-8222-222222222222';
const agentKey = `SHA256:${'A'.repeat(43)}`;
const otherAgentKey = `SHA256:${'B'.repeat(43)}`;

/** An action that brings an address in, as none of the first version does. */
const recover: ActionDeclaration = {
  ...findAction('filesystem.repair')!,
  id: 'network.recover',
  class: 'B',
  planClass: 'A',
  parameters: z.strictObject({
    interface: z.string(),
    address: z.string().optional(),
    routes: z.array(z.string()).optional(),
  }),
  bringsIn: ['address'],
};

const grant = (changes: Partial<Grant> = {}): CoveringGrant => ({
  id: '33333333-3333-4333-8333-333333333333',
  ticket: 'T-4711',
  servers: [{ id: server, name: 'web-04' }],
  actions: [{ pattern: '*' }],
  highestClass: 'C',
  expiresAt: 1_790_000_000,
  ...changes,
});
const order = (changes: Partial<Order> = {}): CoveredOrder => ({
  server,
  agentKey,
  action: 'network.recover',
  mode: 'apply',
  parameters: { interface: 'eth0' },
  ...changes,
});
const limited = (parameters: Record<string, JsonValue[]>) =>
  grant({ actions: [{ pattern: 'network.recover', parameters }] });

const reasonFor = (by: CoveringGrant, what: CoveredOrder, action = recover) => {
  const coverage = coversOrder(by, what, action);
  return coverage.covered ? null : coverage.reason;
};

describe('a grant', () => {
  it('covers what it names', () => {
    expect(reasonFor(grant(), order())).toBeNull();
    expect(reasonFor(grant({ actions: [{ pattern: 'network.*' }] }), order())).toBeNull();
    expect(reasonFor(grant({ actions: [{ pattern: 'network.recover' }] }), order())).toBeNull();
  });

  it.each<[string, CoveringGrant, CoveredOrder, string]>([
    ['another server', grant(), order({ server: otherServer }), 'grant_server_not_covered'],
    [
      'another agent on the server',
      grant({ servers: [{ id: server, name: 'web-04', agentKey: otherAgentKey }] }),
      order(),
      'grant_server_not_covered',
    ],
    [
      'an action of another area',
      grant({ actions: [{ pattern: 'filesystem.*' }] }),
      order(),
      'grant_action_not_covered',
    ],
    [
      'an action of an area that begins the same',
      grant({ actions: [{ pattern: 'net.*' }] }),
      order(),
      'grant_action_not_covered',
    ],
    [
      'an action that begins the same',
      grant({ actions: [{ pattern: 'network.recover-all' }] }),
      order(),
      'grant_action_not_covered',
    ],
    ['a higher class', grant({ highestClass: 'A' }), order(), 'grant_class_not_covered'],
    [
      'another value',
      limited({ interface: ['eth1', 'eth2'] }),
      order(),
      'grant_parameter_not_covered',
    ],
    [
      'a limited parameter left out',
      limited({ interface: ['eth0'], routes: [[]] }),
      order(),
      'grant_parameter_not_covered',
    ],
    [
      'what it brings in, when nothing names it',
      limited({ interface: ['eth0'] }),
      order({ parameters: { interface: 'eth0', address: '192.0.2.1' } }),
      'grant_parameter_not_covered',
    ],
    [
      'what it brings in, when something else is named',
      limited({ address: ['192.0.2.1'] }),
      order({ parameters: { interface: 'eth0', address: '192.0.2.2' } }),
      'grant_parameter_not_covered',
    ],
    [
      'a list with one entry more',
      limited({ routes: [['a']] }),
      order({ parameters: { interface: 'eth0', routes: ['a', 'b'] } }),
      'grant_parameter_not_covered',
    ],
    [
      'a number that looks like the text',
      limited({ interface: ['0'] }),
      order({ parameters: { interface: 0 } }),
      'grant_parameter_not_covered',
    ],
    [
      'a parameter with the name of a property every object has',
      limited({ constructor: ['x'], toString: ['y'] }),
      order(),
      'grant_parameter_not_covered',
    ],
  ])('does not cover %s', (_what, by, what, reason) => {
    expect(reasonFor(by, what)).toBe(reason);
  });

  it('covers what is brought in when it names the value', () => {
    const by = limited({ address: ['192.0.2.1', '192.0.2.2'] });
    const what = order({ parameters: { interface: 'eth0', address: '192.0.2.2' } });
    expect(reasonFor(by, what)).toBeNull();
  });

  it('covers two things brought in only when it names both', () => {
    const both: ActionDeclaration = { ...recover, bringsIn: ['address', 'routes'] };
    const what = order({ parameters: { interface: 'eth0', address: 'a', routes: ['r'] } });
    expect(reasonFor(limited({ address: ['a'] }), what, both)).toBe('grant_parameter_not_covered');
    expect(reasonFor(limited({ routes: [['r']] }), what, both)).toBe('grant_parameter_not_covered');
    expect(reasonFor(limited({ address: ['a'], routes: [['r']] }), what, both)).toBeNull();
  });

  it('covers by one of several entries, never by parts of two', () => {
    const by = grant({
      actions: [
        { pattern: 'network.recover', parameters: { interface: ['eth0'], address: ['a'] } },
        { pattern: 'network.*', parameters: { interface: ['eth1'], address: ['b'] } },
      ],
    });
    const reason = (parameters: Order['parameters']) => reasonFor(by, order({ parameters }));
    expect(reason({ interface: 'eth0', address: 'a' })).toBeNull();
    expect(reason({ interface: 'eth1', address: 'b' })).toBeNull();
    expect(reason({ interface: 'eth0', address: 'b' })).toBe('grant_parameter_not_covered');
  });

  it('covers a server by any of its entries', () => {
    const by = grant({
      servers: [
        { id: server, name: 'web-04', agentKey: otherAgentKey },
        { id: server, name: 'web-04', agentKey },
      ],
    });
    expect(reasonFor(by, order())).toBeNull();
  });

  it('of class A covers the plan of a change and not the change', () => {
    const by = grant({ highestClass: 'A' });
    expect(reasonFor(by, order({ mode: 'plan' }))).toBeNull();
    expect(reasonFor(by, order({ mode: 'undo' }))).toBe('grant_class_not_covered');
  });

  it('says in words what it allows and what was asked', () => {
    const coverage = coversOrder(
      grant({ actions: [{ pattern: 'boot.*' }, { pattern: 'filesystem.check' }] }),
      order(),
      recover,
    );
    expect(coverage).toMatchObject({
      detail:
        'the authorization allows boot.*, filesystem.check; it does not allow network.recover',
    });
  });
});

describe('the class of an order', () => {
  it.each(actions.map((action) => [action.id, action] as const))(
    'of %s is that of its plan only for mode plan',
    (_id, action) => {
      expect(orderClass(action, 'plan')).toBe(action.planClass);
      expect(orderClass(action, 'apply')).toBe(action.class);
      expect(orderClass(action, 'undo')).toBe(action.class);
    },
  );
});

describe('coverage', () => {
  const value = fc.constantFrom<JsonValue>('a', 'b', 0, null, ['a'], { x: 'a' });
  const names = ['interface', 'address', 'routes', 'constructor'];
  const limits = fc.dictionary(fc.constantFrom(...names), fc.array(value, { minLength: 1 }), {
    noNullPrototype: true,
  });
  const parameters = fc.dictionary(fc.constantFrom(...names), value, { noNullPrototype: true });

  it('never widens when a limit is added', () => {
    fc.assert(
      fc.property(limits, limits, parameters, (some, more, asked) => {
        const what = order({ parameters: asked });
        const narrow = { ...more, ...some };
        // A limit on something brought in is also what permits it, so those two are not compared.
        fc.pre('address' in some === 'address' in narrow);
        const isWide = coversOrder(limited(some), what, recover).covered;
        const isNarrow = coversOrder(limited(narrow), what, recover).covered;
        expect(isNarrow && !isWide).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  it('never widens when a value is taken away or the class lowered', () => {
    fc.assert(
      fc.property(limits, parameters, fc.constantFrom('A', 'B', 'C'), (some, asked, highest) => {
        const what = order({ parameters: asked });
        const [name, values] = Object.entries(some)[0] ?? ['interface', ['a', 'b']];
        const fewer = { ...some, [name]: values.slice(1) };
        const isWide = coversOrder(limited(some), what, recover).covered;
        const narrowed = { ...limited(fewer), highestClass: highest as 'A' | 'B' | 'C' };
        expect(coversOrder(narrowed, what, recover).covered && !isWide).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  it('means that every limited parameter has one of its values', () => {
    fc.assert(
      fc.property(limits, parameters, (some, asked) => {
        fc.pre(coversOrder(limited(some), order({ parameters: asked }), recover).covered);
        const texts = Object.entries(some).map(([name, values]) =>
          values.map((one) => JSON.stringify(one)).includes(JSON.stringify(asked[name])),
        );
        expect(texts).not.toContain(false);
        expect(Object.hasOwn(asked, 'address') && !Object.hasOwn(some, 'address')).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});
