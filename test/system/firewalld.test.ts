import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isWhole } from '../fixtures/matrix.ts';
import { OptedInServer } from '../harness/opted-in-server.ts';
import { eventually } from '../harness/process.ts';

const ACTION = 'firewall.recover';
const SERVER_ADDRESS = '198.18.5.1';

/** A neighbour of the server, in a network of its own: what comes over `lo` firewalld lets in anyway. */
const NEIGHBOUR = [
  'ip netns add neighbour',
  'ip link add to-neighbour type veth peer name to-server netns neighbour',
  `ip address add ${SERVER_ADDRESS}/30 dev to-neighbour`,
  'ip link set to-neighbour up',
  'ip -n neighbour address add 198.18.5.2/30 dev to-server',
  'ip -n neighbour link set to-server up',
].join(' && ');

/** Needs a tree of its own, with Python in it, which takes minutes to build. */
describe.runIf(isWhole).each([
  ['1', 'bookworm'],
  // It keeps its table to itself: nobody else may change a rule of it.
  ['2', 'trixie'],
] as const)('a server whose firewalld %s lets no SSH in', { timeout: 300_000 }, (_, release) => {
  let server: OptedInServer;
  let before: string;
  beforeAll(async () => {
    server = await OptedInServer.start({ packages: ['firewalld', 'netbase'], release });
    await server.stack.authorize(ACTION);
    await sh(NEIGHBOUR);
    await sh('systemctl enable --now --quiet firewalld; firewall-cmd --state');
    expect(await reachesSsh(), 'before the fault').toBe(true);
    await sh('firewall-cmd --permanent --remove-service=ssh && firewall-cmd --reload');
    before = await state();
    expect(await reachesSsh(), 'with the fault').toBe(false);
  }, 900_000);
  afterAll(() => server?.close());

  const sh = (script: string) => server.debian.ok(['sh', '-c', script]);
  /** As firewalld itself has it, and as the kernel has it. */
  const state = () =>
    sh(
      'firewall-cmd --list-all; firewall-cmd --permanent --list-all; cat /etc/firewalld/zones/*; nft list ruleset',
    );
  async function reachesSsh(): Promise<boolean> {
    const script = `exec 3<>/dev/tcp/${SERVER_ADDRESS}/22; head -c 4 <&3`;
    const words = ['ip', 'netns', 'exec', 'neighbour', 'timeout', '3', 'bash', '-c', script];
    return (await server.debian.exec(words)).stdout.startsWith('SSH-');
  }

  async function recover(): Promise<string> {
    const { stack } = server;
    const { planDigest } = await stack.json<{ planDigest: string }>(
      ...(['lead', 'plan', 'web-04', ACTION] as const),
    );
    const words = ['run', 'web-04', ACTION, '--plan', planDigest, '--yes', '--detach'];
    const { id } = await stack.json<{ id: string }>('lead', ...words);
    await eventually('it waits for its confirmation', async () => {
      const { progress } = (await stack.job(id)) as unknown as {
        progress: { phase: string } | null;
      };
      return progress?.phase === 'confirm';
    });
    return id;
  }

  it('lets it in at once and after a reload, and no more after the undo', async () => {
    const { stack } = server;
    const job = await recover();
    expect(await reachesSsh()).toBe(true);
    await stack.ok('lead', 'jobs', 'confirm', job);
    expect(await stack.ended(job)).toMatchObject({ result: { outcome: 'opened' } });
    const again = await stack.json<{ plan: { steps: unknown[] } }>(
      'lead',
      'plan',
      'web-04',
      ACTION,
    );
    expect(again.plan.steps).toEqual([]);
    // Whoever reloads it loses what was not written to its files, too.
    await sh('firewall-cmd --check-config && firewall-cmd --reload');
    expect(await sh('firewall-cmd --list-services')).toContain('ssh');
    expect(await reachesSsh()).toBe(true);
    await stack.ok('lead', 'jobs', 'undo', job, '--yes');
    await sh('firewall-cmd --reload');
    expect(await reachesSsh()).toBe(false);
    expect(await state()).toBe(before);
  });

  it('takes itself back when nobody confirms it', async () => {
    const job = await recover();
    await server.stack.ok('lead', 'jobs', 'cancel', job);
    expect(await server.stack.ended(job)).toMatchObject({ result: { outcome: 'rolled_back' } });
    expect(await reachesSsh()).toBe(false);
    expect(await state()).toBe(before);
  });
});
