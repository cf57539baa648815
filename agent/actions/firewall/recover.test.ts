import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { isWhole } from '../../../test/fixtures/matrix.ts';
import {
  ACTION,
  BRIEF,
  PORT,
  inServer,
  load,
  networks,
  ruleset,
  server,
  shutRules,
  state,
  withoutHandles,
  useFirewallServer,
} from './testing/firewall-server.ts';

// Each test starts an agent of its own: one of every kind runs by default.
useFirewallServer();

describe('rules of nftables that shut SSH out', { timeout: 120_000 }, () => {
  let before: string;
  beforeEach(async () => {
    await load(shutRules);
    server.write('/etc/nftables.conf', shutRules, 0o755);
    server.enable('nftables.service');
    before = await state();
  });

  it('let it in when it is confirmed, now and after a boot; undo shuts it out again', async () => {
    expect(await networks.connects(false)).toBe(false);
    const { plan } = await server.plan(ACTION, BRIEF);
    const ids = plan.steps.map(({ id }) => id);
    expect(ids).toEqual(['guard', 'open', 'nftables-file', 'verify', 'confirm']);
    const words = [
      'nft',
      'add',
      'rule',
      'inet',
      'filter',
      'input',
      'tcp',
      'dport',
      '2222',
      'accept',
    ];
    expect(plan.steps[1]?.changes).toMatchObject([
      { argv: [...words, 'comment', expect.any(String)] },
    ]);
    expect(await state()).toBe(before);

    const { job, ended } = await server.confirmed(ACTION, BRIEF);
    expect(ended).toMatchObject({
      outcome: 'succeeded',
      reason: null,
      result: { outcome: 'opened', ports: [PORT], files: ['/etc/nftables.conf'] },
    });
    expect(await networks.connects(true)).toBe(true);
    const [TAG] = /intervene-[0-9a-f]{12}/.exec(server.read('/etc/nftables.conf')) ?? [];
    expect(server.read('/etc/nftables.conf')).toBe(
      `${shutRules}add rule inet filter input tcp dport 2222 accept comment "${TAG}"\n`,
    );
    expect((await server.plan(ACTION, BRIEF)).plan.steps).toEqual([]);
    // The file alone lets in, too.
    await load(server.read('/etc/nftables.conf'));
    expect(await networks.connects(true)).toBe(true);

    // As after that boot.
    const undone = await server.undo(ACTION, BRIEF, job);
    expect(undone).toMatchObject({ outcome: 'succeeded', result: { outcome: 'restored' } });
    expect(await networks.connects(false)).toBe(false);
    expect(server.look() + withoutHandles(await ruleset())).toBe(withoutHandles(before));
  });

  it('are as before when nobody confirms in time, and undo has nothing to do', async () => {
    const job = await server.apply(ACTION, BRIEF);
    await server.changed(job);
    expect(await networks.connects(true)).toBe(true);
    server.letTimeRunOut(job);
    expect(await server.end(job)).toMatchObject({
      outcome: 'failed',
      reason: 'rolled_back',
      result: { outcome: 'rolled_back', rules: [], files: [] },
    });
    expect(await state()).toBe(before);
    expect(await networks.connects(false)).toBe(false);
    expect(await server.undo(ACTION, BRIEF, job)).toMatchObject({ outcome: 'succeeded' });
    expect(await state()).toBe(before);
  });

  it('are said to be open still where what opened them is not taken away', async () => {
    const job = await server.apply(ACTION, BRIEF);
    await server.changed(job);
    // In other words than the guardian knows.
    await load(shutRules.replace('    iif', `    tcp dport ${PORT} accept\n    iif`));
    server.letTimeRunOut(job);
    expect(await server.end(job)).toMatchObject({
      outcome: 'failed',
      reason: 'rollback_incomplete',
      result: { outcome: 'rolled_back' },
    });
    expect(await networks.connects(true)).toBe(true);
  });

  it.runIf(isWhole)(
    'are opened before the rule that drops, for the sender that is named alone',
    async () => {
      const rules = shutRules.replace(
        '    tcp dport { 80',
        `    tcp dport ${PORT} drop\n    tcp dport { 80`,
      );
      await load(rules);
      server.write('/etc/nftables.conf', rules);
      const elsewhere = { ...BRIEF, source: '203.0.113.0/24' };
      await server.confirmed(ACTION, elsewhere);
      expect(await networks.connects(false)).toBe(false);
      const here = { ...BRIEF, source: '10.99.0.2' };
      const { job, ended } = await server.confirmed(ACTION, here);
      expect(ended).toMatchObject({ outcome: 'succeeded', result: { source: '10.99.0.2' } });
      expect(await networks.connects(true)).toBe(true);
      expect(server.read('/etc/nftables.conf')).toContain(
        'insert rule inet filter input index 3 ip saddr 10.99.0.2 tcp dport 2222 accept',
      );
      await server.undo(ACTION, here, job);
      expect(await networks.connects(false)).toBe(false);
    },
  );

  it.runIf(isWhole)(
    'are opened in each table that shuts out, and rules of others stay',
    async () => {
      await load(
        `${shutRules}table ip late {\n chain in {\n type filter hook input priority 10; policy drop;\n }\n}\n`,
      );
      const { job } = await server.confirmed(ACTION, BRIEF);
      expect(await networks.connects(true)).toBe(true);
      await inServer('nft', 'add', 'rule', 'ip', 'late', 'in', 'tcp', 'dport', '9', 'accept');
      await server.undo(ACTION, BRIEF, job);
      expect(await networks.connects(false)).toBe(false);
      expect(await ruleset()).toContain('tcp dport 9 accept');
    },
  );

  it.runIf(isWhole)('stop a plan when something else keeps SSH out by then', async () => {
    const { bytes } = await server.plan(ACTION, BRIEF);
    await load(
      shutRules
        .replace('policy drop', 'policy accept')
        .replace('    iif', `    tcp dport ${PORT} drop\n    iif`),
    );
    before = await state();
    const job = server.start(ACTION, { parameters: BRIEF, plan: bytes.toString('base64') });
    expect(await server.end(job)).toMatchObject({
      outcome: 'failed',
      reason: 'changed_since_plan',
    });
    expect(await state()).toBe(before);
  });
});

describe('a change of the firewall that waits', { timeout: 120_000 }, () => {
  let before: string;
  let job: string;
  beforeEach(async () => {
    await load(shutRules);
    server.write('/etc/nftables.conf', shutRules);
    server.enable('nftables.service');
    before = await state();
    job = await server.apply(ACTION, BRIEF);
    await server.changed(job);
  });

  async function expectTakenBack(): Promise<void> {
    const { end } = server.guard(job);
    expect(end).toMatchObject({ decision: 'rolled_back', areFilesBack: true, exitStatuses: [0] });
    expect(await state()).toBe(before);
    expect(await networks.connects(false)).toBe(false);
  }

  it('is taken back at once when its runner is killed, and the job says so', async () => {
    process.kill(server.runnerPid(job), 'SIGKILL');
    expect(await server.end(job)).toMatchObject({
      outcome: 'failed',
      reason: 'rolled_back',
      result: { lastStep: 'confirm', undoOffered: false },
    });
    await expectTakenBack();
  });

  it.runIf(isWhole)('is taken back in time when agent and guardian are killed', async () => {
    await server.killAgent();
    process.kill(server.guardianPid(job), 'SIGKILL');
    server.letTimeRunOut(job);
    while (server.guard(job).end === null) await sleep(50);
    await expectTakenBack();
    await server.startAgent();
    expect(await server.end(job)).toMatchObject({ outcome: 'failed', reason: 'rolled_back' });
  });

  it.runIf(isWhole)('is taken back by the next agent when everything else is killed', async () => {
    await server.killAgent();
    process.kill(server.guardianPid(job), 'SIGKILL');
    process.kill(server.runnerPid(job), 'SIGKILL');
    expect(await networks.connects(true)).toBe(true);
    await server.startAgent();
    expect(await server.end(job)).toMatchObject({ outcome: 'failed', reason: 'rolled_back' });
    await expectTakenBack();
  });

  it.runIf(isWhole)('gets another guardian when the first one is killed', async () => {
    const first = server.guardianPid(job);
    process.kill(first, 'SIGKILL');
    while (server.guardianPid(job) === first) await sleep(50);
    server.letTimeRunOut(job);
    expect(await server.end(job)).toMatchObject({ outcome: 'failed', reason: 'rolled_back' });
    await expectTakenBack();
  });

  it.runIf(isWhole)('stays when its runner is killed after the confirmation', async () => {
    await server.killAgent();
    await server.guard(job).decide('kept');
    process.kill(server.runnerPid(job), 'SIGKILL');
    await server.startAgent();
    expect(await server.end(job)).toMatchObject({
      outcome: 'succeeded',
      result: { undoOffered: true },
    });
    expect(await networks.connects(true)).toBe(true);
    await server.undo(ACTION, BRIEF, job);
    expect(await state()).toBe(before);
  });
});
