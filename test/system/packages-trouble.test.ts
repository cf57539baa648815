import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SeenPlan } from '../fixtures/package-server.ts';
import { PackageServer } from '../fixtures/package-server.ts';
import { eventually } from '../harness/process.ts';

let its: PackageServer;

beforeAll(async () => {
  its = await PackageServer.start();
}, 600_000);
afterAll(() => its?.close());

/** `postinst` of a package with a service, as debhelper writes it. */
const RESTART = [
  'systemctl daemon-reload',
  'deb-systemd-helper enable ticker.service >/dev/null',
  'if [ -n "$2" ]; then deb-systemd-invoke restart ticker.service; else deb-systemd-invoke start ticker.service; fi',
].join('\n');

const ticker = (version: string) => ({
  name: 'ticker',
  version,
  files: {
    'lib/systemd/system/ticker.service':
      '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n',
  },
  scripts: { postinst: RESTART },
});

/** Takes the lock as apt does; dpkg's own program for that is apt. */
const LOCKER = [
  '#!/usr/bin/perl',
  'use Fcntl;',
  'open(my $file, "+<", "/var/lib/dpkg/lock-frontend") or die;',
  'my $lock = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);',
  'fcntl($file, F_SETLK, $lock) or die $!;',
  'sleep 600;',
].join('\n');

const mainPid = () => its.locally('systemctl', 'show', '--property=MainPID', 'ticker');
const file = (path: string) => its.server.debian.exec(['cat', path]);

describe('services of packages', () => {
  beforeAll(async () => {
    await its.repository.publish(ticker('1.0'));
    await its.locally('apt-get', 'update');
    await its.locally('apt-get', 'install', '-y', 'ticker');
    await its.repository.publish(ticker('2.0'));
  });

  it('go on untouched when they are held back, and nothing of that is left', async () => {
    const before = await mainPid();
    await its.server.debian.write('/usr/sbin/policy-rc.d', '#!/bin/sh\nexit 104\n', '0755');
    const { planDigest, plan } = await its.plan(['ticker'], '--param', 'holdServices=["ticker"]');
    expect(plan.findings).toContain('ticker.service is held back: it goes on as it is');
    const done = await its.apply(planDigest);
    expect(done.status, done.stderr + done.stdout).toBe(0);
    expect(await its.state('ticker')).toBe('2.0 installed');
    expect(await mainPid()).toBe(before);
    expect((await file('/usr/sbin/policy-rc.d')).stdout).toBe('#!/bin/sh\nexit 104\n');
    expect(await its.locally('find', '/usr/sbin', '-name', '*interven*')).toBe('');
    await its.locally('rm', '/usr/sbin/policy-rc.d');
    await its.undo(done.job);
    expect(await its.state('ticker')).toBe('1.0 installed');
  });

  it('are restarted by their packages otherwise, and the plan names them', async () => {
    const before = await mainPid();
    const { planDigest, plan } = await its.plan(['ticker']);
    expect(plan.target['services']).toEqual(['ticker.service']);
    const done = await its.apply(planDigest);
    expect(done.status, done.stderr + done.stdout).toBe(0);
    expect(await mainPid()).not.toBe(before);
  });
});

describe('when it goes wrong', () => {
  it('a script of a package that fails leaves it half-configured, said as it is, and can be undone', async () => {
    await its.repository.publish({
      name: 'failing',
      version: '1.0',
      scripts: { postinst: 'echo I cannot >&2; exit 7' },
    });
    const { planDigest } = await its.plan(['failing']);
    const done = await its.apply(planDigest);
    expect(done.status).toBe(1);
    expect(done.stderr + done.stdout).toContain('I cannot');
    expect(done.job).toMatchObject({
      state: 'failed',
      reason: 'maintainer_script_failed',
      result: { outcome: 'incomplete', packages: [{ name: 'failing', state: 'half-configured' }] },
    });
    const undone = await its.undo(done.job);
    expect(undone.status, undone.stderr + undone.stdout).toBe(0);
    expect(await its.state('failing')).toBe('');
    expect(await its.locally('dpkg', '--audit')).toBe('');
  });

  it('another program that changes packages is waited for, then named', async () => {
    await its.repository.publish({ name: 'waiting', version: '1.0' });
    const { planDigest } = await its.plan(['waiting']);
    await its.server.debian.write('/usr/local/bin/holds-lock', LOCKER, '0755');
    await its.locally('systemd-run', '--unit=other', '/usr/local/bin/holds-lock');
    const done = await its.apply(planDigest);
    expect(done.job).toMatchObject({ state: 'failed', reason: 'packages_locked' });
    expect(done.stderr).toMatch(/holds-lock \(process \d+\)/);
    expect(await its.state('waiting')).toBe('');
    await its.locally('systemctl', 'stop', 'other');
    const later = await its.apply(planDigest);
    expect(later.status, later.stderr + later.stdout).toBe(0);
  });

  it('a disk without room is found before anything is written', async () => {
    await its.repository.publish({
      name: 'bulky',
      version: '1.0',
      files: { 'opt/bulky/data': 'x'.repeat(3_000_000) },
    });
    await its.locally('mkdir', '-p', '/opt/bulky');
    await its.locally('mount', '-t', 'tmpfs', '-o', 'size=4M', 'tmpfs', '/opt/bulky');
    const { planDigest } = await its.plan(['bulky']);
    await its.locally('dd', 'if=/dev/zero', 'of=/opt/bulky/other', 'bs=1M', 'count=2');
    const done = await its.apply(planDigest);
    expect(done.job).toMatchObject({ state: 'failed', reason: 'no_space' });
    expect(done.stderr).toContain('/opt/bulky');
    expect(await its.state('bulky')).toBe('');
    await its.allow(['bulky']);
    expect((await its.tryPlan(['bulky'])).status).toBe(1);
    expect((await its.lastJob('plan')).reason).toBe('no_space');
  });

  it('a job whose runner is killed is interrupted, holds no service back, and can be undone', async () => {
    await its.repository.publish(
      { ...ticker('3.0'), scripts: { postinst: `touch /run/in-postinst; sleep 300\n${RESTART}` } },
      { name: 'beside', version: '1.0' },
    );
    const version = await its.state('ticker');
    const { planDigest } = await its.plan(
      ['ticker', 'beside'],
      '--param',
      'holdServices=["ticker"]',
    );
    const words = ['run', 'web-04', 'packages.install', '--plan', planDigest, '--yes'];
    const { id } = await its.server.stack.json<{ id: string }>('lead', ...words, '--detach');
    await eventually('the package is being configured', async () => {
      return (await its.server.debian.exec(['test', '-e', '/run/in-postinst'])).status === 0;
    });
    expect((await file('/usr/sbin/policy-rc.d')).stdout).toContain('Intervene');
    await its.locally('kill', '-KILL', await its.runnerOf('sleep 300'));
    const job = await eventually('the job is over', async () => {
      const view = await its.server.stack.job(id);
      return view.state === 'running' ? null : view;
    });
    expect(job.state).toBe('interrupted');
    expect(await its.state('ticker')).toBe('3.0 half-configured');
    // What it left holds nothing back any more, and is gone after it was asked once.
    expect(
      (await its.server.debian.exec(['/usr/sbin/policy-rc.d', 'ticker', 'restart'])).status,
    ).toBe(104);
    expect((await file('/usr/sbin/policy-rc.d')).status).not.toBe(0);

    const shown = await its.server.stack.cli('lead', 'logs', id);
    expect(shown.stderr + shown.stdout).toContain('dpkg --configure -a');
    const next = await its.tryPlan(['ticker', 'beside'], '--param', 'holdServices=["ticker"]');
    expect(next.status).toBe(1);
    expect((await its.lastJob('plan')).reason).toBe('dpkg_interrupted');

    const undone = await its.undo(job);
    expect(undone.status, undone.stderr + undone.stdout).toBe(0);
    expect(await its.state('ticker')).toBe(version);
    expect(await its.state('beside')).toBe('');
    expect(await its.locally('dpkg', '--audit')).toBe('');
  });
});

describe('a repair', () => {
  /** Its `postinst` ends as the file says, and waits the first time if it says so. */
  const flaky = (version: string) => ({
    name: 'flaky',
    version,
    files: { 'usr/share/flaky': version },
    scripts: {
      preinst: 'if [ -e /run/wait-preinst ]; then rm /run/wait-preinst; sleep 299; fi',
      postinst: 'if [ -e /run/wait ]; then rm /run/wait; sleep 298; fi\n[ ! -e /run/fail ]',
    },
  });
  const plan = (...words: string[]) => its.tryRepair(...words);
  const mend = async (...words: string[]) => {
    const planned = await plan(...words);
    expect(planned.status, planned.stderr).toBe(0);
    return its.apply((JSON.parse(planned.stdout) as SeenPlan).planDigest, 'packages.repair');
  };
  const killDpkg = async (waiting: string) => {
    await eventually('dpkg waits', async () => {
      return (await its.server.debian.exec(['pgrep', '--full', '--exact', waiting])).status === 0;
    });
    await its.locally('pkill', '-KILL', 'dpkg');
    // systemd may have been quicker.
    await its.server.debian.exec(['pkill', '-KILL', '--full', '--exact', waiting]);
    await its.locally('systemctl', 'reset-failed');
  };
  const inBackground = (...argv: string[]) =>
    its.locally('systemd-run', '--collect', '--setenv=DEBIAN_FRONTEND=noninteractive', ...argv);

  beforeAll(async () => {
    await its.repository.publish(flaky('1.0'));
    await its.locally('apt-get', 'update');
    await its.server.stack.authorize('packages.repair', '--limit', 'packages=["lacking"]');
    await its.server.stack.authorize(
      'packages.repair',
      ...['--limit', 'packages=["stays"]', '--limit', 'releaseHolds=["stays"]'],
    );
    await its.server.stack.authorize('packages.repair');
  });

  it('has nothing to do where nothing is wrong', async () => {
    const before = await its.digest();
    const done = await mend();
    expect(done.job.result).toMatchObject({ outcome: 'nothing_to_do' });
    expect(await its.digest()).toBe(before);
  });

  it('finishes a package that was left half-configured, and says when it still fails', async () => {
    await its.locally('touch', '/run/fail');
    const argv = ['apt-get', 'install', '-y', 'flaky'];
    expect((await its.server.debian.exec(argv)).status).toBe(100);
    const failed = await mend();
    expect(failed.job).toMatchObject({ state: 'failed', reason: 'configure_failed' });
    expect(failed.job.result).toMatchObject({ outcome: 'incomplete' });
    await its.locally('rm', '/run/fail');
    const done = await mend();
    expect(done.status, done.stderr).toBe(0);
    expect(done.job.result).toMatchObject({
      outcome: 'repaired',
      packages: [{ name: 'flaky', state: 'installed' }],
    });
    expect(done.stderr).not.toContain('Undo:');
  });

  it('goes on where dpkg was cut off, which keeps everything else from being installed', async () => {
    await its.locally('touch', '/run/wait');
    await inBackground('apt-get', 'install', '-y', '--reinstall', 'flaky');
    await killDpkg('sleep 298');
    await its.allow(['flaky']);
    expect((await its.tryPlan(['flaky'])).status).toBe(1);
    expect((await its.lastJob('plan')).reason).toBe('dpkg_interrupted');
    const done = await mend();
    expect(done.status, done.stderr).toBe(0);
    expect(await its.state('flaky')).toBe('1.0 installed');
  });

  it('installs a package anew that was cut off while it was unpacked', async () => {
    await its.locally('touch', '/run/wait-preinst');
    await inBackground('apt-get', 'install', '-y', '--reinstall', 'flaky');
    await killDpkg('sleep 299');
    const first = await mend();
    expect(first.job.result).toMatchObject({ outcome: 'incomplete' });
    const second = await mend();
    expect(second.status, second.stderr).toBe(0);
    expect(await its.state('flaky')).toBe('1.0 installed');
    expect(await its.locally('dpkg', '--audit')).toBe('');
  });

  it('brings in what a package lacks, once the client has named it', async () => {
    await its.repository.publish(
      { name: 'needy', version: '1.0', fields: { Depends: 'lacking' } },
      { name: 'lacking', version: '1.0' },
    );
    await its.locally('apt-get', 'update');
    const fetch =
      'cd /tmp; apt-get download needy; dpkg --force-depends --install needy_1.0_all.deb';
    await its.locally('sh', '-ec', fetch);
    expect((await plan()).status).toBe(1);
    const refused = await its.lastJob('plan');
    expect(refused.reason).toBe('packages_not_named');
    expect(await its.server.stack.ok('lead', 'logs', refused.id)).toContain('lacking');
    const done = await mend('--param', 'packages=["lacking"]');
    expect(done.status, done.stderr).toBe(0);
    expect(await its.state('lacking')).toBe('1.0 installed');
    await its.locally('apt-get', 'check');
  });

  it('lets go of a hold that keeps others from what they need, once the client has named it', async () => {
    await its.repository.publish({ name: 'stays', version: '1.0' });
    await its.locally('apt-get', 'update');
    await its.locally('apt-get', 'install', '-y', 'stays');
    await its.locally('apt-mark', 'hold', 'stays');
    await its.repository.publish(
      { name: 'stays', version: '2.0' },
      { name: 'moves', version: '2.0', fields: { Depends: 'stays (>= 2.0)' } },
    );
    await its.locally('apt-get', 'update');
    const fetch =
      'cd /tmp; apt-get download moves; dpkg --force-depends --install moves_2.0_all.deb || true';
    await its.locally('sh', '-ec', fetch);
    expect((await plan()).status).toBe(1);
    const refused = await its.lastJob('plan');
    expect(refused.reason).toBe('packages_held');
    const shown = await its.server.stack.cli('lead', 'logs', refused.id);
    expect(shown.stderr + shown.stdout).toContain('releaseHolds');
    const named = ['--param', 'packages=["stays"]', '--param', 'releaseHolds=["stays"]'];
    const released = await mend(...named);
    expect(released.status, released.stderr).toBe(0);
    expect(await its.locally('apt-mark', 'showhold')).toBe('');
    expect(await its.state('stays')).toBe('1.0 installed');
    const done = await mend(...named);
    expect(done.status, done.stderr).toBe(0);
    expect(await its.state('stays')).toBe('2.0 installed');
    await its.locally('apt-get', 'check');
  });

  it("puts dpkg's record back when it is lost, and nothing is installed over that", async () => {
    const count = async () => (await its.locally('dpkg-query', '--show')).split('\n').length;
    const before = await count();
    await its.locally('truncate', '--size=0', '/var/lib/dpkg/status');
    await its.allow(['flaky']);
    expect((await its.tryPlan(['flaky'])).status).toBe(1);
    expect((await its.lastJob('plan')).reason).toBe('record_lost');
    const done = await mend();
    expect(done.status, done.stderr).toBe(0);
    expect(await count()).toBe(before);
    // dpkg's own copy is from before its last change.
    if (await its.locally('dpkg', '--audit')) await mend();
    expect(await its.locally('dpkg', '--audit')).toBe('');
    await its.locally('truncate', '--size=0', '/var/lib/dpkg/status');
    await its.locally('rm', '-f', '/var/lib/dpkg/status-old');
    expect((await plan()).status).toBe(1);
    expect((await its.lastJob('plan')).reason).toBe('record_lost');
  });
});
