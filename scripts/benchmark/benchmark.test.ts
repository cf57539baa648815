import { describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { takeTheField } from '../../test/fixtures/ordered-jobs.ts';
import { median, percentile, shortfalls, table } from './figures.ts';
import { LightAgent } from './light-agent.ts';
import { findProcesses, memoryOf } from './memory.ts';
import { benchRows, chooseRows } from './rows.ts';

const test = useTestDatabase();

describe('the benchmark', () => {
  it('tells median, spread, ratio, and whether the mark is met', () => {
    expect([median([3, 1, 2]), median([1, 2, 3, 4]), percentile([1, 2, 3], 0.95)]).toEqual([
      2, 2.5, 3,
    ]);
    const text = table([
      { what: 'peer', unit: 'ms', values: [10, 20, 30] },
      {
        what: 'ours',
        unit: 'ms',
        values: [5, 10, 15],
        against: ['peer'],
        mark: 'below 1',
        isMet: (_, [ratio]) => ratio! < 1,
      },
      { what: 'slow', unit: 'ms', values: [40], against: ['peer'], isMet: () => false },
    ]);
    expect(text.replaceAll(/ +/g, ' ')).toContain(
      '| ours | 10.0 ms | 5.00..15.0 | 15.0 | 3 | 0.50× peer | below 1 | yes |',
    );
    expect(text.replaceAll(/ +/g, ' ')).toContain('| 2.00× peer | | no |');
    expect(new Set(text.split('\n').map((line) => line.length)).size).toBe(1);
  });

  it('says why a mark is not met, and nothing of those that are', () => {
    const missed = { unit: 'ms', values: [40], mark: '10 ms', isMet: () => false };
    const met = { what: 'quick', unit: 'ms', values: [5], isMet: () => true, reason: 'unsaid' };
    expect(shortfalls([met, { what: 'unmarked', unit: 'ms', values: [5] }])).toBe('');
    expect(
      shortfalls([
        { what: 'slow', ...missed, reason: 'it waits.' },
        met,
        { what: 'slower', ...missed, reason: 'it waits.' },
        { what: 'odd', ...missed },
      ]),
    ).toBe(
      [
        'Marks not met, and why:',
        '',
        '- **slow (40.0 ms, mark: 10 ms); slower (40.0 ms, mark: 10 ms)**: it waits.',
        '- **odd (40.0 ms, mark: 10 ms)**: not looked into yet.',
        '',
      ].join('\n'),
    );
  });

  it('runs all rows, or those that are named', () => {
    expect(chooseRows([])).toBe(benchRows);
    expect(chooseRows(['fan-out']).map((row) => row.name)).toEqual(['fan-out']);
    expect(() => chooseRows(['fan-out', 'wrong'])).toThrow('no row is called wrong');
  });

  it('reads the memory of a process', () => {
    const { resident, own, most } = memoryOf(process.pid);
    expect(own).toBeLessThan(resident);
    expect(resident).toBeLessThanOrEqual(most * 1.1);
    expect(findProcesses(process.argv[0]!)).toContain(process.pid);
  });

  it('has simulated agents that a control plane takes for real ones', async () => {
    const side = await startAgentSide(test.database);
    const operation = await createOperation(side.api);
    const tenant = await operation.addServer(operation.tenant);
    const { agent, session, orders } = await takeTheField(side, operation, tenant);
    await session.close();
    const { certificatePem } = agent.identity;
    const light = new LightAgent(
      {
        agentId: agent.agentId,
        serverId: tenant.serverId,
        tlsKey: agent.identity.keyPem,
        certificate: certificatePem,
        signingKey: tenant.world.agent.privateKeyPem,
      },
      { port: side.port, authority: side.authority.certificatePem },
    );
    const welcomed = new Promise<void>((resolve) => (light.onWelcome = resolve));
    light.connect();
    await welcomed;
    const order = await orders.place();
    await expect.poll(() => orders.state(order), { timeout: 15_000 }).toBe('succeeded');
    expect((await orders.job(order)).log).toMatchObject({ lines: 1, verified: true });
    light.drop();
    agent.close();
    await side.close();
  });
});
