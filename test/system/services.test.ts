import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type {
  ServiceConfigureResult,
  ServiceRestartResult,
  ServiceStatusResult,
} from '../../proto/actions/service.ts';
import type { Plan } from '../../proto/documents/kinds/plan.ts';
import { OptedInServer } from '../harness/opted-in-server.ts';
import type { Finished } from '../harness/process.ts';
import { eventually } from '../harness/process.ts';

let server: OptedInServer;
const LIMIT = ['Service.LimitNOFILE=4096'];
const WRONG = ['Service.LimitNOFILE=many'];
const COMMAND = ['Service.ExecStart=', 'Service.ExecStart=/bin/sleep 1001'];
const TWO_COMMANDS = ['Service.ExecStart=/bin/sleep 1002'];

beforeAll(async () => {
  server = await OptedInServer.start();
  const settings = (list: string[]) => ['--limit', `settings=${JSON.stringify(list)}`];
  await server.stack.authorize('service.status,service.restart');
  await server.stack.authorize('service.configure', '--ticket', 'T-2');
  await server.stack.authorize('service.configure', ...settings(LIMIT), ...settings(WRONG));
  await server.stack.authorize('service.override', ...settings(COMMAND), ...settings(TWO_COMMANDS));
  await server.stack.authorize('service.override', '--ticket', 'T-2');
}, 600_000);
afterAll(() => server?.close());

type Parameters = Record<string, unknown>;

interface Ended<R> {
  status: number | null;
  reason: string | null;
  result: R;
  job: string;
  said: string;
}

function words(parameters: Parameters): string[] {
  return Object.entries(parameters).flatMap(([name, value]) => [
    '--param',
    `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ]);
}

function endOf<R>(done: Finished): Ended<R> {
  const lines = done.stdout.split('\n').filter(Boolean);
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const last = parsed.findLast(({ type }) => type === 'result');
  if (last === undefined) throw new Error(`no result:\n${done.stdout}${done.stderr}`);
  const said = parsed.map(({ text }) => (typeof text === 'string' ? text : '')).join('');
  return {
    status: done.status,
    reason: last['reason'] as string | null,
    result: last['result'] as R,
    job: last['job'] as string,
    said: said + done.stderr,
  };
}

/** Runs an action by the CLI; one that plans is planned first, and applied as it was planned. */
async function act<R = ServiceRestartResult>(
  action: string,
  parameters: Parameters,
): Promise<Ended<R>> {
  if (action === 'service.status') {
    return endOf(
      await server.stack.cli('lead', '--json', 'run', 'web-04', action, ...words(parameters)),
    );
  }
  const brief = action === 'service.restart' ? { watchSeconds: 1 } : {};
  const planned = await makePlan(action, { ...brief, ...parameters });
  return apply<R>(action, planned.planDigest);
}

async function apply<R>(action: string, plan: string): Promise<Ended<R>> {
  return endOf<R>(
    await server.stack.cli('lead', '--json', 'run', 'web-04', action, '--plan', plan, '--yes'),
  );
}

async function makePlan(
  action: string,
  parameters: Parameters,
): Promise<{ planDigest: string; plan: Plan }> {
  return server.stack.json('lead', 'plan', 'web-04', action, ...words(parameters));
}

/** A plan that is not made: why, and what was said. */
async function refusedPlan(action: string, parameters: Parameters) {
  const done = await server.stack.cli('lead', 'plan', 'web-04', action, ...words(parameters));
  return { status: done.status, said: done.stderr + done.stdout };
}

const undo = async <R>(job: string) =>
  endOf<R>(await server.stack.cli('lead', '--json', 'jobs', 'undo', job, '--yes'));

const sh = (script: string) => server.debian.ok(['sh', '-c', script]);
const show = async (unit: string, property: string) =>
  (await sh(`systemctl show -p ${property} --value ${unit}`)).trim();

async function unitFile(name: string, service: string, unit = ''): Promise<void> {
  await server.debian.write(
    `/etc/systemd/system/${name}`,
    `[Unit]\n${unit}\n[Service]\n${service}\n[Install]\nWantedBy=multi-user.target\n`,
  );
  await sh('systemctl daemon-reload');
}

/** A service that says why it fails, and fails. */
async function badService(): Promise<void> {
  await unitFile('bad.service', `ExecStart=/bin/sh -c 'echo no database >&2; exit 3'`);
  await server.debian.exec(['systemctl', 'start', 'bad']);
  await eventually('it has failed', async () => (await show('bad', 'ActiveState')) === 'failed');
}

/** Everything that says when units start, and their drop-ins: names, targets, bytes, modes, owners, times. */
const setUp = () =>
  sh(
    `cd /etc && find systemd/system rc?.d ! -type d -printf '%p %l %m %U %G %s %T@\\n' | grep -v ' -> ' | sort;` +
      ` find systemd/system -type d -printf '%p %m %U %G\\n' | sort; find systemd/system -type f | sort | xargs -r sha256sum`,
  ).then((text) =>
    // A link that is made again is as new as that; only what it says counts.
    text.replaceAll(/^(\S+ \S+ 777 0 0 \d+) [\d.]+$/gm, '$1'),
  );

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

describe('service.configure', () => {
  let before: string;
  beforeEach(async () => {
    before = await setUp();
  });

  const configure = (parameters: Parameters) =>
    act<ServiceConfigureResult>('service.configure', { unit: 'nginx.service', ...parameters });

  it('disables, and undo gives the same links back', async () => {
    const done = await configure({ enabled: false });
    expect(done).toMatchObject({
      status: 0,
      result: {
        outcome: 'configured',
        before: { enablement: 'enabled' },
        after: { enablement: 'disabled' },
      },
    });
    expect(await setUp()).not.toBe(before);
    expect(await undo(done.job)).toMatchObject({
      status: 0,
      result: { after: { enablement: 'enabled' } },
    });
    expect(await setUp()).toBe(before);
  });

  it('lifts a mask and enables in one, and undo masks again', async () => {
    await sh('systemctl disable nginx; systemctl mask nginx');
    before = await setUp();
    const still = await refusedPlan('service.configure', { unit: 'nginx.service', enabled: true });
    expect(still.said).toContain('unit_masked');
    const done = await configure({ masked: false, enabled: true });
    expect(done).toMatchObject({
      status: 0,
      result: { before: { load: 'masked' }, after: { load: 'loaded', enablement: 'enabled' } },
    });
    expect(await undo(done.job)).toMatchObject({
      status: 0,
      result: { after: { load: 'masked' } },
    });
    expect(await setUp()).toBe(before);
    await sh('systemctl unmask nginx; systemctl enable nginx');
  });

  it('masks', async () => {
    const done = await configure({ masked: true });
    expect(done).toMatchObject({ status: 0, result: { after: { load: 'masked' } } });
    await undo(done.job);
    expect(await setUp()).toBe(before);
  });

  it('writes a drop-in that holds after a restart, shown whole in the plan; undo removes it', async () => {
    const wanted = { unit: 'nginx.service', dropIn: 'limits', settings: LIMIT };
    const { plan } = await makePlan('service.configure', wanted);
    expect(plan.steps[0]?.changes).toMatchObject([
      { type: 'diff', path: '/etc/systemd/system/nginx.service.d/limits.conf' },
    ]);
    expect(JSON.stringify(plan.steps[0]?.changes)).toContain('+LimitNOFILE=4096');
    const done = await configure({ dropIn: 'limits', settings: LIMIT });
    expect(done.status).toBe(0);
    await act('service.restart', { unit: 'nginx.service', watchSeconds: 1 });
    const pid = await show('nginx', 'MainPID');
    expect(await sh(`grep 'open files' /proc/${pid}/limits`)).toMatch(/4096 +4096/);
    expect((await makePlan('service.configure', wanted)).plan.steps).toEqual([]);
    expect(await undo(done.job)).toMatchObject({ status: 0, result: { outcome: 'restored' } });
    expect(await setUp()).toBe(before);
    expect(await show('nginx', 'LimitNOFILE')).not.toBe('4096');
  });

  it('replaces and removes a drop-in, and undo gives bytes, mode, owner and times back', async () => {
    const file = '/etc/systemd/system/nginx.service.d/limits.conf';
    await server.debian.write(file, '[Service]\nLimitNOFILE=2048\n', '0640');
    await sh(
      `chown 33:33 ${file}; touch -d '2001-02-03 04:05:06' ${file}; systemctl daemon-reload`,
    );
    before = await setUp();
    const replaced = await configure({ dropIn: 'limits', settings: LIMIT });
    expect(replaced.status).toBe(0);
    expect(await sh(`stat -c '%a %u %g' ${file}`)).toBe('640 33 33\n');
    expect(await undo(replaced.job)).toMatchObject({ status: 0 });
    expect(await setUp()).toBe(before);
    const removed = await configure({ removeDropIn: 'limits' });
    expect(removed.status).toBe(0);
    expect(await show('nginx', 'DropInPaths')).toBe('');
    expect(await undo(removed.job)).toMatchObject({ status: 0 });
    expect(await setUp()).toBe(before);
    await sh(`rm -r /etc/systemd/system/nginx.service.d; systemctl daemon-reload`);
  });

  it('refuses a drop-in that systemd does not take, and changes nothing', async () => {
    const wrong = await refusedPlan('service.configure', {
      unit: 'nginx.service',
      dropIn: 'limits',
      settings: WRONG,
    });
    expect(wrong.status).toBe(1);
    expect(wrong.said).toMatch(/drop_in_wrong/);
    expect(wrong.said).toContain('/etc/systemd/system/nginx.service.d/limits.conf:4');
    const two = await refusedPlan('service.override', {
      unit: 'nginx.service',
      dropIn: 'run',
      settings: TWO_COMMANDS,
    });
    expect(two.said).toMatch(/more than one ExecStart/);
    expect(await setUp()).toBe(before);
  });

  it('refuses a plan whose drop-in somebody has written meanwhile, and an undo that would destroy it', async () => {
    const file = '/etc/systemd/system/nginx.service.d/limits.conf';
    const wanted = { unit: 'nginx.service', dropIn: 'limits', settings: LIMIT };
    const { planDigest } = await makePlan('service.configure', wanted);
    await server.debian.write(file, '[Service]\nLimitNOFILE=1024\n');
    const stale = await apply('service.configure', planDigest);
    expect(stale).toMatchObject({ status: 1, reason: 'changed_since_plan' });
    expect(await sh(`cat ${file}`)).toContain('1024');
    await sh(`rm ${file}; systemctl daemon-reload`);
    const done = await configure({ dropIn: 'limits', settings: LIMIT });
    await server.debian.write(file, '[Service]\nLimitNOFILE=512\n');
    expect(await undo(done.job)).toMatchObject({ status: 1, reason: 'changed_since' });
    expect(await sh(`cat ${file}`)).toContain('512');
    await sh('rm -r /etc/systemd/system/nginx.service.d; systemctl daemon-reload');
  });

  it('refuses a mask where the unit itself lies, and an unknown start of one that has none', async () => {
    const own = await refusedPlan('service.configure', { unit: 'store.service', masked: true });
    expect(own.said).toContain('unit_file_in_the_way');
    const fixed = await refusedPlan('service.configure', { unit: 'dbus.service', enabled: true });
    expect(fixed.said).toContain('unit_not_installable');
    expect(await setUp()).toBe(before);
  });

  it('follows no symlink that stands for the file', async () => {
    await sh('mkdir -p /etc/systemd/system/nginx.service.d');
    await sh('ln -s /etc/passwd /etc/systemd/system/nginx.service.d/limits.conf');
    const passwd = await sh('sha256sum /etc/passwd');
    const wanted = { unit: 'nginx.service', dropIn: 'limits', settings: LIMIT };
    expect((await refusedPlan('service.configure', wanted)).said).toContain('not_a_plain_file');
    await sh('rm -r /etc/systemd/system/nginx.service.d');
    expect(await sh('sha256sum /etc/passwd')).toBe(passwd);
  });
});

describe('what decides what a service runs', () => {
  it('is no matter of service.configure, whoever asks', async () => {
    const asked = await server.stack.cli(
      'lead',
      ...['plan', 'web-04', 'service.configure'],
      ...words({ unit: 'nginx.service', dropIn: 'run', settings: ['Service.User=root'] }),
    );
    expect(asked.status).toBe(2);
    expect(asked.stderr).toContain('service.override');
    await server.debian.write(
      '/etc/systemd/system/store.service.d/run.conf',
      '[Service]\nUser=nobody\n',
    );
    await sh('systemctl daemon-reload');
    const removed = await refusedPlan('service.configure', {
      unit: 'store.service',
      removeDropIn: 'run',
    });
    expect(removed.said).toMatch(/needs_override.*/s);
    expect(removed.said).toContain('Service.User');
  });

  it('is not hidden or brought back by a drop-in of the same name', async () => {
    const vendor = '/usr/lib/systemd/system/nginx.service.d/hard.conf';
    const own = '/etc/systemd/system/nginx.service.d/hard.conf';
    await server.debian.write(vendor, '[Service]\nProtectSystem=full\n');
    await sh('systemctl daemon-reload');
    const wanted = { unit: 'nginx.service', dropIn: 'hard', settings: LIMIT };
    const hidden = await refusedPlan('service.configure', wanted);
    expect(hidden.said).toContain('needs_override');
    expect(hidden.said).toContain(`${vendor} decides`);
    await server.debian.write(own, '');
    await sh('systemctl daemon-reload');
    expect(await show('nginx', 'ProtectSystem')).toBe('no');
    const removal = { unit: 'nginx.service', removeDropIn: 'hard' };
    const brought = await refusedPlan('service.configure', removal);
    await sh(`rm ${own}; ln -sf /dev/null ${vendor}; systemctl daemon-reload`);
    const { plan } = await makePlan('service.configure', wanted);
    await sh(`rm ${vendor}; systemctl daemon-reload`);
    expect(plan.steps.map(({ id }) => id)).toContain('drop-in');
    expect(brought.said).toContain('needs_override');
    expect(brought.said).toContain('Service.ProtectSystem');
  });

  it('is changed by service.override, with exactly what the client has read', async () => {
    const other = await refusedPlan('service.override', {
      unit: 'store.service',
      dropIn: 'run',
      settings: ['Service.ExecStart=', 'Service.ExecStart=/bin/sleep 666'],
    });
    expect(other.status).toBe(3);
    expect(other.said).toContain('Refused: grant_missing');
    const command = async () => /argv\[\]=(.*?) ;/.exec(await show('store', 'ExecStart'))?.[1];
    const before = await command();
    const done = await act<ServiceConfigureResult>('service.override', {
      unit: 'store.service',
      dropIn: 'command',
      settings: COMMAND,
    });
    expect(done.status).toBe(0);
    expect(await command()).toBe('/bin/sleep 1001');
    expect(await undo(done.job)).toMatchObject({ status: 0 });
    expect(await command()).toBe(before);
  });
});
