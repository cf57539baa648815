import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DiagnosticsResult } from '../../proto/actions/diagnostics.ts';
import type { FileRepairResult } from '../../proto/actions/file-repair-result.ts';
import type { ServiceConfigureResult } from '../../proto/actions/service.ts';
import { HeldReload } from '../harness/held-reload.ts';
import { readWholeLog } from '../harness/job-log.ts';
import { eventually } from '../harness/process.ts';
import {
  COMMAND,
  LIMIT,
  TWO_COMMANDS,
  WRONG,
  act,
  apply,
  makePlan,
  refusedPlan,
  server,
  setUp,
  sh,
  show,
  undo,
  unitFile,
  useServiceServer,
  words,
} from '../harness/service-orders.ts';
import type { Parameters } from '../harness/service-orders.ts';
import { keepArchiveArgv } from '../lab/faults/keep-archive.ts';

useServiceServer();

beforeAll(async () => {
  await unitFile('store.service', 'ExecStart=/bin/sleep 100000');
  await server.debian.ok(['systemctl', 'start', 'store']);
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
      { type: 'command', argv: ['mkdir', '--mode=0755', '/etc/systemd/system/nginx.service.d'] },
      { type: 'diff', path: '/etc/systemd/system/nginx.service.d/limits.conf' },
      { type: 'command', argv: ['systemctl', 'daemon-reload'] },
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
    expect(plan.steps.map(({ id }) => id)).toEqual(['set-up']);
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

describe('a service that is being set up when the job is stopped', () => {
  const dropIn = '/etc/systemd/system/store.service.d/limits.conf';
  let reload: HeldReload;
  let before: string;

  beforeAll(async () => {
    reload = await HeldReload.install(server.debian);
  });
  beforeEach(async () => {
    before = await setUp();
  });
  afterEach(() => reload.release());

  /** Has everything written, and systemd at reading it. */
  async function begin() {
    const wanted = { unit: 'store.service', enabled: true, dropIn: 'limits', settings: LIMIT };
    const { planDigest } = await makePlan('service.configure', wanted);
    await reload.hold();
    const words = ['service.configure', '--plan', planDigest, '--yes', '--detach'];
    const { id } = await server.stack.json<{ id: string }>('lead', 'run', 'web-04', ...words);
    await reload.held();
    expect(await reload.exists(dropIn)).toBe(true);
    return id;
  }

  async function ended(job: string) {
    return eventually(
      'the job has ended',
      async () => {
        const view = await server.stack.job(job);
        return ['delivered', 'running'].includes(view.state) ? null : view;
      },
      60_000,
    );
  }

  it('is not put back where somebody else has changed it meanwhile; the job and its undo say so', async () => {
    const job = await begin();
    await server.debian.write(dropIn, '[Service]\nLimitNOFILE=512\n');
    await server.stack.ok('lead', 'jobs', 'cancel', job);
    const done = await ended(job);
    expect(done).toMatchObject({
      state: 'failed',
      reason: 'rollback_incomplete',
      result: { lastStep: 'set-up', undoOffered: true },
    });
    const { notes } = await readWholeLog(server.stack, job);
    expect(notes.join('\n')).toContain(`${dropIn} has been changed after the job`);
    await reload.release();
    expect(await undo(job)).toMatchObject({ status: 1, reason: 'changed_since' });
    expect(await sh(`cat ${dropIn}`)).toContain('512');
    // Once that is gone, the rest can be taken back.
    await sh(`rm ${dropIn}`);
    expect(await undo(job)).toMatchObject({ status: 0, result: { outcome: 'restored' } });
    expect(await setUp()).toBe(before);
  });

  it('is as before after an undo, where the runner was killed while it put things back', async () => {
    const job = await begin();
    await server.stack.ok('lead', 'jobs', 'cancel', job);
    await eventually('it is put back', async () => !(await reload.exists(dropIn)));
    const record = await sh(`cat /var/lib/intervene/runners/${job}`);
    await sh(`kill -9 ${/"child-pid": (\d+)/.exec(record)?.[1]}`);
    const done = await ended(job);
    expect(done).toMatchObject({
      state: 'interrupted',
      reason: 'runner_died',
      result: { lastStep: 'set-up', undoOffered: true },
    });
    await reload.release();
    expect(await undo(job)).toMatchObject({ status: 0, result: { outcome: 'restored' } });
    expect(await setUp()).toBe(before);
    expect(await show('store', 'NeedDaemonReload')).toBe('no');
  });
});

describe('service.restore-configuration', () => {
  const NGINX = '/etc/nginx/nginx.conf';
  const parameters = { unit: 'nginx.service', file: NGINX };
  const restore = () => act<FileRepairResult>('service.restore-configuration', parameters);
  const said = async () => (await server.debian.exec(['nginx', '-t'])).stderr;

  it('puts a file back with which a running service would not start again, and takes that back', async () => {
    await server.stack.authorize('diagnostics.*');
    await server.stack.authorize('service.restore-configuration', '--ticket', 'T-2');
    await server.stack.authorize('service.restore-configuration', '--limit', `file=${NGINX}`);
    await server.debian.ok(keepArchiveArgv('nginx-common'));
    expect((await restore()).result.outcome).toBe('nothing_to_do');
    await sh(`sed -i 's/sendfile on;/sendfile on/' ${NGINX}`);
    const broken = await sh(`cat ${NGINX}; stat -c %a:%u:%g ${NGINX}`);
    const { result: diagnosed } = await server.stack.json<{ result: DiagnosticsResult }>(
      'lead',
      'diagnose',
      'web-04',
    );
    expect(diagnosed.findings.find(({ rule }) => rule === 'svc.config_bad')).toMatchObject({
      subject: 'nginx.service',
      suggestion: { action: 'service.restore-configuration', parameters },
    });
    const done = await restore();
    expect(done.result, done.said).toMatchObject({ outcome: 'repaired', files: [NGINX] });
    expect(await said()).toContain('test is successful');
    expect(await show('nginx', 'ActiveState')).toBe('active');
    expect((await undo<FileRepairResult>(done.job)).result.outcome).toBe('restored');
    expect(await sh(`cat ${NGINX}; stat -c %a:%u:%g ${NGINX}`)).toBe(broken);
    expect((await restore()).result.outcome).toBe('repaired');
  });
});
