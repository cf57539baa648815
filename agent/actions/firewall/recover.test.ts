import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import type { EndedRecord } from '../../jobs/journal-record.ts';
import { TwoNetworks } from '../diagnostics/testing/two-networks.ts';
import { JobsInNetwork } from '../guarded/testing/jobs-in-network.ts';

type Parameters = Record<string, JsonValue>;

const PORT = 2222;
const ACTION = 'firewall.recover';
/** As short as an order may say. */
const BRIEF = { confirmWithinSeconds: 20 };

/** Each starts an agent of its own; one of every kind is enough by default. The others run with --all. */
const WHOLE = process.env.INTERVENE_TEST_ALL === '1';

let networks: TwoNetworks;
let server: JobsInNetwork;
beforeAll(async () => {
  networks = await TwoNetworks.create(PORT);
});
afterAll(() => networks?.close());
beforeEach(async () => {
  server = new JobsInNetwork(networks.inItsNetwork);
  server.write('/etc/ssh/sshd_config', `Port ${PORT}\n`);
  await server.startAgent();
});
afterEach(() => server.close());

const shutRules = [
  'flush ruleset',
  'table inet filter {',
  '  chain input {',
  '    type filter hook input priority 0; policy drop;',
  '    ct state established,related accept',
  '    iif lo accept',
  '    tcp dport { 80, 443 } accept',
  '  }',
  '}',
  '',
].join('\n');

async function inServer(...argv: string[]): Promise<string> {
  const done = await networks.inServer(argv);
  if (done.exitStatus !== 0) throw new Error(`${argv.join(' ')}: ${done.err}`);
  return done.out;
}

async function load(rules: string): Promise<void> {
  server.write('/rules.nft', rules);
  await inServer('nft', '-f', `${server.folder}/rules.nft`);
}

const withoutTags = (path: string) =>
  server.read(path).replaceAll(/intervene-[0-9a-f]{12}/g, 'intervene-TAG');
const ruleset = () => inServer('nft', '--handle', 'list', 'ruleset');

/** nftables numbers rules anew when it loads them. */
const withoutHandles = (text: string) => text.replaceAll(/ # handle \d+/g, '');

/** Everything that must be as before. */
async function state(): Promise<string> {
  return server.look() + (await ruleset());
}

async function confirmed(parameters: Parameters): Promise<{ job: string; ended: EndedRecord }> {
  const job = await server.apply(ACTION, parameters);
  const guard = await server.changed(job);
  await guard.markReached();
  await guard.decide('kept');
  return { job, ended: await server.end(job) };
}

const tables = (...lines: string[]) =>
  [
    '*filter',
    ':INPUT DROP [0:0]',
    ':FORWARD ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ...lines,
    'COMMIT',
    '',
  ].join('\n');

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

    const { job, ended } = await confirmed(BRIEF);
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

  it.runIf(WHOLE)(
    'are opened before the rule that drops, for the sender that is named alone',
    async () => {
      const rules = shutRules.replace(
        '    tcp dport { 80',
        `    tcp dport ${PORT} drop\n    tcp dport { 80`,
      );
      await load(rules);
      server.write('/etc/nftables.conf', rules);
      const elsewhere = { ...BRIEF, source: '203.0.113.0/24' };
      await confirmed(elsewhere);
      expect(await networks.connects(false)).toBe(false);
      const here = { ...BRIEF, source: '10.99.0.2' };
      const { job, ended } = await confirmed(here);
      expect(ended).toMatchObject({ outcome: 'succeeded', result: { source: '10.99.0.2' } });
      expect(await networks.connects(true)).toBe(true);
      expect(server.read('/etc/nftables.conf')).toContain(
        'insert rule inet filter input index 3 ip saddr 10.99.0.2 tcp dport 2222 accept',
      );
      await server.undo(ACTION, here, job);
      expect(await networks.connects(false)).toBe(false);
    },
  );

  it.runIf(WHOLE)('are opened in each table that shuts out, and rules of others stay', async () => {
    await load(
      `${shutRules}table ip late {\n chain in {\n type filter hook input priority 10; policy drop;\n }\n}\n`,
    );
    const { job } = await confirmed(BRIEF);
    expect(await networks.connects(true)).toBe(true);
    await inServer('nft', 'add', 'rule', 'ip', 'late', 'in', 'tcp', 'dport', '9', 'accept');
    await server.undo(ACTION, BRIEF, job);
    expect(await networks.connects(false)).toBe(false);
    expect(await ruleset()).toContain('tcp dport 9 accept');
  });

  it.runIf(WHOLE)('stop a plan when something else keeps SSH out by then', async () => {
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

  it.runIf(WHOLE)('is taken back in time when agent and guardian are killed', async () => {
    await server.killAgent();
    process.kill(server.guardianPid(job), 'SIGKILL');
    server.letTimeRunOut(job);
    while (server.guard(job).end === null) await sleep(50);
    await expectTakenBack();
    await server.startAgent();
    expect(await server.end(job)).toMatchObject({ outcome: 'failed', reason: 'rolled_back' });
  });

  it.runIf(WHOLE)('is taken back by the next agent when everything else is killed', async () => {
    await server.killAgent();
    process.kill(server.guardianPid(job), 'SIGKILL');
    process.kill(server.runnerPid(job), 'SIGKILL');
    expect(await networks.connects(true)).toBe(true);
    await server.startAgent();
    expect(await server.end(job)).toMatchObject({ outcome: 'failed', reason: 'rolled_back' });
    await expectTakenBack();
  });

  it.runIf(WHOLE)('gets another guardian when the first one is killed', async () => {
    const first = server.guardianPid(job);
    process.kill(first, 'SIGKILL');
    while (server.guardianPid(job) === first) await sleep(50);
    server.letTimeRunOut(job);
    expect(await server.end(job)).toMatchObject({ outcome: 'failed', reason: 'rolled_back' });
    await expectTakenBack();
  });

  it.runIf(WHOLE)('stays when its runner is killed after the confirmation', async () => {
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

describe('rules of iptables that shut SSH out', { timeout: 120_000 }, () => {
  beforeEach(() => inServer('nft', 'flush', 'ruleset'));

  it('are opened by the program that they belong to, and in the file that is loaded at boot', async () => {
    const rules = tables(
      '-A INPUT -i lo -j ACCEPT',
      '-A INPUT -p tcp -m tcp --dport 2000:3000 -j REJECT',
      '-A INPUT -p tcp --dport 80 -j ACCEPT',
    );
    server.write('/rules.v4', rules);
    await inServer('sh', '-c', `iptables-nft-restore <${server.folder}/rules.v4`);
    server.write('/etc/iptables/rules.v4', rules);
    server.enable('netfilter-persistent.service');
    const before = await state();
    expect(await networks.connects(false)).toBe(false);
    const { job, ended } = await confirmed(BRIEF);
    expect(ended).toMatchObject({
      outcome: 'succeeded',
      result: { files: ['/etc/iptables/rules.v4'] },
    });
    expect(await networks.connects(true)).toBe(true);
    const lines = withoutTags('/etc/iptables/rules.v4').split('\n');
    expect(lines[5]).toBe(
      '-A INPUT -p tcp -m tcp --dport 2222 -m comment --comment intervene-TAG -j ACCEPT',
    );
    expect(lines.toSpliced(5, 1).join('\n')).toBe(rules);
    expect((await server.plan(ACTION, BRIEF)).plan.steps).toEqual([]);
    await server.undo(ACTION, BRIEF, job);
    expect(server.look()).toBe(before.slice(0, server.look().length));
    expect(await networks.connects(false)).toBe(false);
  });

  it.runIf(WHOLE)(
    'are opened for ufw as ufw does it, so that it shows the rule as its own',
    async () => {
      execFileSync('cp', ['-a', '/etc/ufw', join(server.etc, 'ufw')]);
      server.write(
        '/etc/default/ufw',
        'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\nDEFAULT_FORWARD_POLICY="DROP"\nDEFAULT_APPLICATION_POLICY="SKIP"\nMANAGE_BUILTINS=no\nIPT_SYSCTL=/dev/null\nIPT_MODULES=""\n',
      );
      server.write('/etc/ufw/ufw.conf', 'ENABLED=yes\nLOGLEVEL=off\n');
      const ufw = (...words: string[]) =>
        inServer(
          'unshare',
          '--mount',
          'sh',
          '-ec',
          'mount --bind "$1" /etc; shift; exec ufw "$@"',
          'sh',
          server.etc,
          ...words,
        );
      await ufw('--force', 'reload');
      expect(await networks.connects(false)).toBe(false);
      const before = server.look();
      const { job, ended } = await confirmed(BRIEF);
      expect(ended).toMatchObject({
        result: { files: ['/etc/ufw/user.rules', '/etc/ufw/user6.rules'] },
      });
      expect(await networks.connects(true)).toBe(true);
      expect(await ufw('status')).toMatch(/2222\/tcp +ALLOW +Anywhere\s+2222\/tcp \(v6\) +ALLOW/);
      await ufw('--force', 'reload');
      expect(await networks.connects(true)).toBe(true);
      await server.undo(ACTION, BRIEF, job);
      expect(server.look()).toBe(before);
      await ufw('--force', 'reload');
      expect(await networks.connects(false)).toBe(false);
    },
  );
});

describe('files that are loaded at the next boot', { timeout: 120_000 }, () => {
  beforeEach(() => inServer('nft', 'flush', 'ruleset'));

  async function applied(): Promise<EndedRecord> {
    return server.end(await server.apply(ACTION, BRIEF));
  }

  it('with a misspelt word are corrected, and that they load nothing is said', async () => {
    const wrong = shutRules.replace('hook input', 'hok input');
    server.write('/etc/nftables.conf', wrong);
    server.enable('nftables.service');
    const { plan } = await server.plan(ACTION, BRIEF);
    expect(plan.findings[0]).toMatch(/nftables.conf:4: .*no firewall at all/);
    // Nothing that holds now changes, so that nobody has to confirm.
    expect(plan.steps.map(({ id }) => id)).toEqual(['nftables-file', 'verify']);
    expect(await applied()).toMatchObject({ outcome: 'succeeded', result: { outcome: 'opened' } });
    expect(server.read('/etc/nftables.conf')).toContain('type filter hook input');
    await load(server.read('/etc/nftables.conf'));
    expect(await networks.connects(true)).toBe(true);
    await inServer('nft', 'flush', 'ruleset');
  });

  it.runIf(WHOLE)(
    'with an error that no word explains are left alone, and it is said',
    async () => {
      server.write('/etc/nftables.conf', shutRules.replace('policy drop;', 'policy drop; }'));
      server.enable('nftables.service');
      const { plan } = await server.plan(ACTION, BRIEF);
      expect(plan.steps).toEqual([]);
      expect(plan.findings[0]).toMatch(/Correct it by hand/);
    },
  );

  it.runIf(WHOLE)('of iptables with a misspelt option are corrected', async () => {
    server.write('/etc/iptables/rules.v4', tables('-A INPUT -p tcp -m tcp --dprt 443 -j ACCEPT'));
    server.enable('netfilter-persistent.service');
    const { plan } = await server.plan(ACTION, BRIEF);
    expect(plan.findings[0]).toMatch(/rules.v4:5: /);
    expect(await applied()).toMatchObject({ outcome: 'succeeded' });
    expect(withoutTags('/etc/iptables/rules.v4')).toBe(
      tables(
        '-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT',
        '-A INPUT -p tcp -m tcp --dport 2222 -m comment --comment intervene-TAG -j ACCEPT',
      ),
    );
  });

  it.runIf(WHOLE)(
    'are looked at with what they include, and never where no unit loads them',
    async () => {
      server.write('/etc/nftables.conf', 'flush ruleset\ninclude "/etc/nftables.d/*.nft"\n');
      server.write('/etc/nftables.d/a.nft', shutRules.replace('flush ruleset\n', ''));
      expect((await server.plan(ACTION, BRIEF)).plan.steps).toEqual([]);
      server.enable('nftables.service');
      expect(await applied()).toMatchObject({ result: { files: ['/etc/nftables.conf'] } });
      expect(server.read('/etc/nftables.conf')).toMatch(/add rule inet filter input/);
    },
  );

  it('of hosts.allow let sshd in again, and hosts.deny stays', async () => {
    server.write(
      '/etc/hosts.deny',
      '# old\nsshd: ALL\nALL: 192.0.2.9\nsshd,vsftpd : ALL : spawn x\nin.telnetd: ALL\n',
    );
    const before = server.look();
    const job = await server.apply(ACTION, BRIEF);
    expect(await server.end(job)).toMatchObject({ result: { files: ['/etc/hosts.allow'] } });
    expect(server.read('/etc/hosts.allow')).toMatch(/^sshd: \S+\n/);
    await server.undo(ACTION, BRIEF, job);
    expect(server.look()).toBe(before);
  });
});
