import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TwoNetworks } from '../diagnostics/testing/two-networks.ts';
import { JobsInNetwork } from '../guarded/testing/jobs-in-network.ts';

/** One of them is enough by default. The others run with --all. */
const WHOLE = process.env.INTERVENE_TEST_ALL === '1';
const ACTION = 'network.recover';
const INTERFACES = '/etc/network/interfaces';
const FACTS = { interface: 'va', address: '10.99.0.1/24', confirmWithinSeconds: 20 };
const stanza = (address: string) =>
  `auto va\niface va inet static\n    address ${address}\n    gateway 10.99.0.2\n`;

let networks: TwoNetworks;
let server: JobsInNetwork;
beforeAll(async () => {
  networks = await TwoNetworks.create(2222);
});
afterAll(() => networks?.close());
beforeEach(async () => {
  server = new JobsInNetwork(networks.inItsNetwork);
  server.write('/etc/resolv.conf', 'nameserver 10.99.0.2\n');
  server.write(INTERFACES, stanza('10.99.9.1/24'));
  server.enable('networking.service');
  await inServer('address', 'flush', 'dev', 'va', 'scope', 'global');
  await inServer('address', 'add', '10.99.9.1/24', 'dev', 'va');
  await inServer('route', 'replace', 'default', 'via', '10.99.9.9', 'dev', 'va');
  await server.startAgent();
});
afterEach(() => server.close());

async function inServer(...words: string[]): Promise<string> {
  const done = await networks.inServer(['ip', ...words]);
  if (done.exitStatus !== 0) throw new Error(`ip ${words.join(' ')}: ${done.err}`);
  return done.out;
}

/** Everything that must be as before. */
async function state(): Promise<string> {
  const addresses = await inServer('-brief', 'address', 'show', 'dev', 'va', 'scope', 'global');
  return server.look() + addresses + (await inServer('route'));
}

describe('a server that has another address than it must have', { timeout: 120_000 }, () => {
  it('is reached again when it is confirmed, also after a boot; undo takes it back', async () => {
    const before = await state();
    expect(await networks.connects(false)).toBe(false);
    const facts = { ...FACTS, gateway: '10.99.0.2' };
    const { plan } = await server.plan(ACTION, facts);
    const ids = plan.steps.map(({ id }) => id);
    expect(ids).toEqual(['guard', 'connect', 'network-files', 'verify', 'confirm']);
    expect(await state()).toBe(before);

    const { job, ended } = await server.confirmed(ACTION, facts);
    expect(ended).toMatchObject({
      outcome: 'succeeded',
      result: {
        outcome: 'repaired',
        commands: [
          'ip address add 10.99.0.1/24 dev va',
          'ip -4 route replace default via 10.99.0.2 dev va',
        ],
        files: [INTERFACES],
      },
    });
    expect(await networks.connects(true)).toBe(true);
    expect(server.read(INTERFACES)).toBe(stanza('10.99.0.1/24'));
    expect((await server.plan(ACTION, facts)).plan.steps).toEqual([]);

    const undone = await server.undo(ACTION, facts, job);
    expect(undone).toMatchObject({ outcome: 'succeeded', result: { outcome: 'restored' } });
    expect(await networks.connects(false)).toBe(false);
    expect(await state()).toBe(before);
  });

  it.runIf(WHOLE)('is as before when nobody confirms in time', async () => {
    const before = await state();
    const job = await server.apply(ACTION, FACTS);
    await server.changed(job);
    expect(await networks.connects(true)).toBe(true);
    server.letTimeRunOut(job);
    expect(await server.end(job)).toMatchObject({ outcome: 'failed', reason: 'rolled_back' });
    expect(await state()).toBe(before);
    expect(await networks.connects(false)).toBe(false);
  });

  it.runIf(WHOLE)('is as before at once when the runner is killed', async () => {
    const before = await state();
    const job = await server.apply(ACTION, FACTS);
    await server.changed(job);
    process.kill(server.runnerPid(job), 'SIGKILL');
    expect(await server.end(job)).toMatchObject({ outcome: 'failed', reason: 'rolled_back' });
    expect(await state()).toBe(before);
  });

  it.runIf(WHOLE)('gets its files alone mended without a guardian', async () => {
    server.write(INTERFACES, stanza('10.99.9.1/24').replace('gateway', 'gatway'));
    const facts = { confirmWithinSeconds: 20 };
    const { plan } = await server.plan(ACTION, facts);
    expect(plan.steps.map(({ id }) => id)).toEqual(['network-files', 'verify']);
    const job = await server.apply(ACTION, facts);
    expect(await server.end(job)).toMatchObject({ outcome: 'succeeded' });
    expect(server.read(INTERFACES)).toContain('    gateway 10.99.0.2');
  });

  it.runIf(WHOLE)('is left alone where a gateway could never be reached', async () => {
    const facts = { ...FACTS, gateway: '192.0.2.1' };
    const { plan } = await server.plan(ACTION, facts);
    expect(plan.findings.join(' ')).toContain('192.0.2.1 is in no network of va');
    const commands = plan.steps.find(({ id }) => id === 'connect')?.changes;
    expect(commands).toHaveLength(1);
  });
});
