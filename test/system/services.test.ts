import { describe, expect, it } from 'vitest';
import type { ServiceRestartResult, ServiceStatusResult } from '../../proto/actions/service.ts';
import { eventually } from '../harness/process.ts';
import {
  COMMAND,
  act,
  apply,
  badService,
  endOf,
  makePlan,
  refusedPlan,
  server,
  sh,
  show,
  undo,
  unitFile,
  useServiceServer,
  words,
} from '../harness/service-orders.ts';

useServiceServer();

describe('service.status', () => {
  it('says how a service is, what it needs, and what it said last', async () => {
    const { status, result } = await act<ServiceStatusResult>('service.status', {
      unit: 'nginx.service',
    });
    expect(status).toBe(0);
    expect(result).toMatchObject({
      unit: 'nginx.service',
      standing: { load: 'loaded', active: 'active', sub: 'running', enablement: 'enabled' },
      mainProgram: '/usr/sbin/nginx',
      affected: [],
    });
    expect(String(result.standing.mainPid)).toBe(await show('nginx', 'MainPID'));
    expect(Date.parse(result.standing.since!)).toBeGreaterThan(Date.now() - 3_600_000);
    expect(result.requires).toContain('sysinit.target');
    expect(result.journal.map(({ text }) => text).join('\n')).toContain('Started nginx.service');
  });

  it('finds why one has failed, and who would go with it', async () => {
    await unitFile('store.service', 'ExecStart=/bin/sleep infinity');
    await unitFile('shop.service', 'ExecStart=/bin/sleep infinity', 'Requires=store.service');
    await unitFile('till.service', 'ExecStart=/bin/sleep infinity', 'PartOf=shop.service');
    await sh('systemctl start shop till');
    const store = await act<ServiceStatusResult>('service.status', { unit: 'store.service' });
    expect(store.result.affected).toEqual([
      { unit: 'shop.service', how: 'restarted', active: 'active' },
      { unit: 'till.service', how: 'restarted', active: 'active' },
    ]);
    await badService();
    const bad = await act<ServiceStatusResult>('service.status', { unit: 'bad.service' });
    expect(bad.result.findings.join()).toMatch(
      /failed: exit-code, it exited with status 3.*no data/,
    );
  });

  it('says so when there is no such unit', async () => {
    const { status, reason } = await act('service.status', { unit: 'nginxx.service' });
    expect({ status, reason }).toEqual({ status: 1, reason: 'unit_not_found' });
  });
});

describe('service.restart', () => {
  it('plans with what it takes along, restarts, and can be undone as far as that goes', async () => {
    const { planDigest, plan } = await makePlan('service.restart', { unit: 'store.service' });
    expect(plan.summary).toContain('shop.service restarted, till.service restarted');
    expect(plan.steps.map(({ id }) => id)).toEqual(['restart', 'verify']);
    expect(plan.findings.join('\n')).toContain('restarted unchecked');
    const again = await makePlan('service.restart', { unit: 'store.service' });
    expect(again.planDigest).toBe(planDigest);

    const before = await show('store', 'MainPID');
    const { status, result, job } = await apply<ServiceRestartResult>(
      'service.restart',
      planDigest,
    );
    expect(status).toBe(0);
    expect(result).toMatchObject({ outcome: 'running', because: null });
    expect(String(result.before.mainPid)).toBe(before);
    expect(result.after.mainPid).not.toBe(result.before.mainPid);
    expect(result.affected).toEqual([
      { unit: 'shop.service', before: 'active', after: 'active' },
      { unit: 'till.service', before: 'active', after: 'active' },
    ]);
    await sh('systemctl stop store');
    expect(await undo(job)).toMatchObject({ status: 0, result: { outcome: 'restored' } });
    expect(await sh('systemctl is-active store shop')).toBe('active\nactive\n');
  });

  it('checks the configuration first, and leaves the service alone when it is wrong', async () => {
    const pid = await show('nginx', 'MainPID');
    await server.debian.write('/etc/nginx/conf.d/bad.conf', 'listn 81;\n');
    const refused = await refusedPlan('service.restart', { unit: 'nginx.service' });
    expect(refused.status).toBe(1);
    expect(refused.said).toMatch(/nginx -t -q says: .*unknown directive "listn" in \/etc\/nginx/s);
    expect(refused.said).toContain('configuration_wrong');
    expect(await show('nginx', 'MainPID')).toBe(pid);

    const forced = await act('service.restart', {
      unit: 'nginx.service',
      ignoreFailedCheck: true,
    });
    expect(forced).toMatchObject({
      status: 1,
      reason: 'restart_failed',
      result: { outcome: 'failed', check: { passed: false }, after: { active: 'failed' } },
    });
    expect(forced.result.because).toContain('unknown directive "listn"');
    await sh('rm /etc/nginx/conf.d/bad.conf');
    expect(await undo(forced.job)).toMatchObject({ status: 0 });
    expect(await show('nginx', 'ActiveState')).toBe('active');
  });

  it('refuses a plan when the configuration broke after it was made', async () => {
    const { planDigest } = await makePlan('service.restart', { unit: 'nginx.service' });
    const pid = await show('nginx', 'MainPID');
    await server.debian.write('/etc/nginx/conf.d/bad.conf', 'listn 81;\n');
    const done = await apply('service.restart', planDigest);
    await sh('rm /etc/nginx/conf.d/bad.conf');
    expect(done).toMatchObject({ status: 1, reason: 'configuration_wrong' });
    expect(await show('nginx', 'MainPID')).toBe(pid);
  });

  it("uses sshd's own check, also while it is stopped and its run folder is gone", async () => {
    await sh('systemctl stop ssh');
    expect((await server.debian.exec(['sshd', '-t'])).status).toBe(255);
    expect(await act('service.restart', { unit: 'ssh.service' })).toMatchObject({ status: 0 });
    await server.debian.write('/etc/ssh/sshd_config.d/bad.conf', 'PermitRootLogn yes\n');
    const refused = await refusedPlan('service.restart', { unit: 'ssh.service' });
    await sh('rm /etc/ssh/sshd_config.d/bad.conf');
    expect(refused.said).toMatch(/Bad configuration option: PermitRootLogn/i);
    const alias = await refusedPlan('service.restart', { unit: 'sshd.service' });
    expect(alias.said).toContain('another name of ssh.service');
  });

  it('takes the reason of a failure from the journal, and undo stops what did not run', async () => {
    await badService();
    const done = await act('service.restart', { unit: 'bad.service' });
    expect(done).toMatchObject({
      status: 1,
      reason: 'restart_failed',
      result: { outcome: 'failed', because: 'no database', before: { active: 'failed' } },
    });
    const flapping = `Restart=always\nRestartSec=100ms\nExecStart=/bin/sh -c 'echo no luck; exit 1'`;
    await unitFile('flap.service', flapping, 'StartLimitIntervalSec=0');
    const flap = await act('service.restart', { unit: 'flap.service' });
    expect(flap).toMatchObject({ status: 1, result: { outcome: 'failed', because: 'no luck' } });
    expect(await undo(flap.job)).toMatchObject({ status: 0 });
    expect(await show('flap', 'ActiveState')).toBe('inactive');
  });

  it('starts a service that its limit of starts holds back', async () => {
    const once = '/bin/sh -c "test -e /run/cured && exec sleep infinity; exit 1"';
    await unitFile(
      'limited.service',
      `ExecStart=${once}\nType=exec`,
      'StartLimitBurst=1\nStartLimitIntervalSec=1h',
    );
    await server.debian.exec(['systemctl', 'start', 'limited']);
    await eventually('failed', async () => (await show('limited', 'ActiveState')) === 'failed');
    await sh('touch /run/cured');
    expect((await server.debian.exec(['systemctl', 'restart', 'limited'])).stderr).toMatch(
      /too quickly|failed/i,
    );
    const { plan } = await makePlan('service.restart', { unit: 'limited.service' });
    expect(plan.steps.map(({ id }) => id)).toContain('reset-failed');
    expect(await act('service.restart', { unit: 'limited.service' })).toMatchObject({ status: 0 });
  });

  it('kills one that hangs on stop when the order says so, within the bound its plan shows', async () => {
    const deaf = `/bin/sh -c "trap '' TERM; while :; do sleep 1000 & wait; done"`;
    await unitFile('deaf.service', `ExecStart=${deaf}\nTimeoutStopSec=infinity\nKillMode=mixed`);
    await sh('systemctl start deaf');
    const slow = await makePlan('service.restart', { unit: 'deaf.service' });
    expect(slow.plan.steps[0]).toMatchObject({ interruptBoundSeconds: 720 });
    expect(slow.plan.steps[0]?.description).toContain('as long as it wants');
    const parameters = { unit: 'deaf.service', stopWithinSeconds: 2, watchSeconds: 1 };
    const { plan, planDigest } = await makePlan('service.restart', parameters);
    expect(plan.steps[0]?.description).toContain('after 2 s, its processes are killed');
    expect(plan.steps[0]?.interruptBoundSeconds).toBeLessThan(150);
    const done = await apply<ServiceRestartResult>('service.restart', planDigest);
    expect(done).toMatchObject({ status: 0, result: { outcome: 'running' } });
    expect(done.said).toContain('its processes are killed');
    expect(done.result.after.mainPid).not.toBe(done.result.before.mainPid);
  });

  it('is interrupted by the death of its runner, and undone', async () => {
    const running = server.stack.cli(
      'lead',
      ...['--json', 'run', 'web-04', 'service.restart', '--yes'],
      ...words({ unit: 'deaf.service' }),
    );
    await eventually(
      'it stops',
      async () => (await show('deaf', 'ActiveState')) === 'deactivating',
    );
    await sh('kill -9 $(ps -o ppid= -C systemctl)');
    const done = endOf(await running);
    expect(done.status).toBe(6);
    await sh('systemctl kill --signal=KILL deaf');
    expect(await undo(done.job)).toMatchObject({ status: 0, result: { outcome: 'restored' } });
    expect(await show('deaf', 'ActiveState')).toBe('active');
  });

  it('refuses a plan whose unit has changed since', async () => {
    const { planDigest } = await makePlan('service.restart', { unit: 'store.service' });
    await unitFile('store.service', 'ExecStart=/bin/sleep 100000');
    const pid = await show('store', 'MainPID');
    const done = await apply('service.restart', planDigest);
    expect(done).toMatchObject({ status: 1, reason: 'changed_since_plan' });
    expect(await show('store', 'MainPID')).toBe(pid);
  });

  it('refuses what is masked, not there, or the agent itself', async () => {
    await sh('systemctl mask e2scrub_reap');
    const masked = await refusedPlan('service.restart', { unit: 'e2scrub_reap.service' });
    expect(masked.said).toContain('unit_masked');
    await sh('systemctl unmask e2scrub_reap');
    const missing = await refusedPlan('service.restart', { unit: 'no-such.service' });
    expect(missing.said).toContain('unit_not_found');
    const own = await refusedPlan('service.restart', { unit: 'intervene-agent.service' });
    expect(own.said).toContain('unit_protected');
  });

  it('refuses what ends the system or opens a shell, and an instance nobody has started', async () => {
    await unitFile('last.service', 'ExecStart=/bin/sleep 1', 'FailureAction=poweroff-force');
    await unitFile('goes.service', 'ExecStart=/bin/sleep 1', 'Wants=reboot.target');
    await unitFile('many@.service', 'ExecStart=/bin/sleep infinity');
    for (const name of ['debug-shell', 'systemd-poweroff', 'last', 'goes', 'many@one']) {
      const unit = `${name}.service`;
      const override = { unit, dropIn: 'command', settings: COMMAND };
      for (const refused of [
        await refusedPlan('service.restart', { unit }),
        await refusedPlan('service.configure', { unit, enabled: true }),
        await refusedPlan('service.override', override),
      ]) {
        expect(refused.status).toBe(1);
        expect(refused.said).toContain('unit_protected');
      }
    }
    await sh('systemctl start many@one');
    expect(await act('service.restart', { unit: 'many@one.service' })).toMatchObject({ status: 0 });
    await sh('systemctl stop many@one');
  });

  it('refuses to take along what ends the system when it stops', async () => {
    await unitFile('lamp.service', 'ExecStart=/bin/sleep infinity');
    const ending = 'Requires=lamp.service\nSuccessAction=poweroff';
    await unitFile('ends.service', 'ExecStart=/bin/sleep infinity', ending);
    await sh('systemctl start lamp ends');
    const refused = await refusedPlan('service.restart', { unit: 'lamp.service' });
    await unitFile('ends.service', 'ExecStart=/bin/sleep infinity', 'Requires=lamp.service');
    await sh('systemctl stop ends lamp');
    expect(refused.said).toMatch(/takes ends.service along.*SuccessAction=poweroff/s);
    expect(refused.said).toContain('unit_protected');
  });

  it('restarts a daemon of systemd that people restart', async () => {
    const unit = 'systemd-journald.service';
    expect(await act('service.restart', { unit })).toMatchObject({ status: 0 });
  });
});
