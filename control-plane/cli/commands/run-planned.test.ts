import { beforeEach, describe, expect, it } from 'vitest';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { endJob, journalEvents, planJob } from '../../../test/fixtures/far-answers.ts';
import type { FarJob } from '../../../test/fixtures/far-end.ts';

const its = useCliWorld();
const command = ['run', 'web-04', 'command.run', '--yes', '--', 'sh', '-c', 'echo hello'];
const repair = (...more: string[]) => ['run', 'web-04', 'filesystem.repair', ...more];
const device = ['--param', 'device=/dev/vdb'];

/** Plans when asked to plan, and repairs when asked to repair. */
function repairing(job: FarJob): void {
  if (job.order.mode === 'plan') planJob(its.world, job);
  else
    endJob(job, [['out', 'Pass 1\n']], {
      result: { outcome: 'corrected', problems: 212, detail: '' },
    });
}

beforeEach(() => {
  its.farEnd.addGrant();
});

describe('run of what is planned first', () => {
  it('plans, shows the plan, asks for the name of the server, and applies those very bytes', async () => {
    its.farEnd.onOrder = repairing;
    const done = await its.cli.run(repair(...device), { columns: 100, answers: ['web-04\r'] });
    expect(done.status).toBe(0);
    const [plan, apply] = its.farEnd.jobs.values();
    expect([plan?.order.mode, apply?.order.mode]).toEqual(['plan', 'apply']);
    expect(apply?.order.plan).toBe(plan?.body['planDigest']);
    for (const text of [
      'e2fsck -fy /dev/vdb',
      'every block it writes',
      'e2undo puts the blocks back',
      'e2fsck -fn finds nothing',
    ]) {
      expect(done.stderr).toContain(text);
    }
    expect(done.stderr).toMatch(/Corrected.*: 212 problems reported/);
    expect(done.stderr).toContain('Undo: intervene --profile ana jobs undo 1042/2');
  });

  it('changes nothing without the name of the server', async () => {
    its.farEnd.onOrder = repairing;
    const done = await its.cli.run(repair(...device), { columns: 100, answers: ['no\r'] });
    expect([done.status, its.farEnd.jobs.size]).toEqual([4, 1]);
  });

  it('lets --yes apply a plan that was named, and no other', async () => {
    its.farEnd.onOrder = repairing;
    const unread = await its.cli.run(repair(...device, '--yes'));
    expect([unread.status, its.farEnd.jobs.size]).toEqual([2, 0]);
    const planned = await its.cli.run(['plan', 'web-04', 'filesystem.repair', ...device]);
    const id = /--plan ([0-9a-f]{6})/.exec(planned.stderr)?.[1] ?? '';
    const done = await its.cli.run(repair('--plan', id, '--yes'));
    expect(done.status).toBe(0);
    expect([...its.farEnd.jobs.values()].at(-1)?.order.parameters).toEqual({ device: '/dev/vdb' });
  });

  it('refuses a plan of another action, other parameters, or with another digest than claimed', async () => {
    its.farEnd.onOrder = repairing;
    await its.cli.run(['plan', 'web-04', 'filesystem.repair', ...device]);
    const other = await its.cli.run(
      repair('--plan', '1042/1', '--yes', '--param', 'device=/dev/vdc'),
    );
    expect(other).toMatchObject({ status: 2, stderr: expect.stringContaining('other parameters') });
    const [job] = its.farEnd.jobs.values();
    if (job) job.body['planDigest'] = `sha256:${'0'.repeat(64)}`;
    const forged = await its.cli.run(repair('--plan', '1042/1', '--yes'));
    expect(forged).toMatchObject({ status: 3, stderr: expect.stringContaining('plan_mismatch') });
    expect(its.farEnd.jobs.size).toBe(1);
  });

  it('where nobody can be asked, names the flags with the plan that was just made', async () => {
    its.farEnd.onOrder = repairing;
    const done = await its.cli.run(repair(...device));
    expect([done.status, its.farEnd.jobs.size]).toEqual([2, 1]);
    const digest = String([...its.farEnd.jobs.values()][0]?.body['planDigest']);
    expect(done.stderr).toContain(`--yes --plan ${digest.slice(7, 13)} `);
  });

  it.each([
    [['diagnostics.collect'], 'it only looks, and changes nothing'],
    [['command.run', '--', 'ls'], 'what it will do is what is typed'],
    [['terminal.open'], 'it does what its parameters say'],
  ])('says of %j why it has no plan', async (words, text) => {
    const done = await its.cli.run(['plan', 'web-04', ...words]);
    expect([done.status, its.farEnd.jobs.size]).toEqual([2, 0]);
    expect(done.stderr).toContain(text);
  });

  it('applies nothing when there is nothing to do', async () => {
    its.farEnd.onOrder = (job) => planJob(its.world, job, { steps: [] });
    const done = await its.cli.run(repair(...device), { columns: 80 });
    expect([done.status, its.farEnd.jobs.size]).toEqual([0, 1]);
    expect(done.stderr).toContain('Nothing is to be done.');
  });

  it('shows the end of the log of a plan that failed', async () => {
    its.farEnd.onOrder = (job) =>
      endJob(job, [['err', 'no such device\n']], { state: 'failed', reason: 'no_device' });
    const done = await its.cli.run(['plan', 'web-04', 'filesystem.repair', ...device]);
    expect(done).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('no such device'),
    });
  });

  it('plan --json is the job with its plan', async () => {
    its.farEnd.onOrder = repairing;
    const done = await its.cli.run(['plan', 'web-04', 'filesystem.repair', ...device, '--json']);
    expect(JSON.parse(done.stdout)).toMatchObject({
      state: 'succeeded',
      mode: 'plan',
      plan: { action: 'filesystem.repair' },
    });
  });

  it('tells of each step as the journal does', async () => {
    its.farEnd.onOrder = (job) => {
      repairing(job);
      const at = 1_795_576_260_000;
      job.events = journalEvents([
        { type: 'step_started', at, step: 'repair', description: 'Repair the file system' },
        { type: 'step_ended', at: at + 8400, step: 'repair', ok: true, detail: '' },
      ]);
    };
    await its.cli.run(['plan', 'web-04', 'filesystem.repair', ...device]);
    const done = await its.cli.run(repair('--plan', '1042/1', '--yes'));
    expect(done.stderr).toContain('1 Repair the file system  8.4 s');
  });
});

describe('jobs', () => {
  it('undo takes back what a job changed, under its own authorization, with its own parameters', async () => {
    its.farEnd.onOrder = repairing;
    await its.cli.run(['plan', 'web-04', 'filesystem.repair', ...device]);
    await its.cli.run(repair('--plan', '1042/1', '--yes'));
    const [, applied] = its.farEnd.jobs.values();
    its.farEnd.grants = [];
    const done = await its.cli.run(['jobs', 'undo', '1042/2', '--yes']);
    expect(done.status).toBe(0);
    const undo = [...its.farEnd.jobs.values()].at(-1)?.order;
    expect(undo).toMatchObject({
      mode: 'undo',
      undoes: applied?.order.job,
      plan: null,
      authorization: applied?.order.authorization,
      parameters: applied?.order.parameters,
    });
    const wrong = await its.cli.run(['jobs', 'undo', '1042/1', '--yes']);
    expect(wrong).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('only what was applied'),
    });
  });

  it('undo of what cannot be undone says so', async () => {
    its.farEnd.onOrder = (job) => endJob(job, []);
    await its.cli.run(command);
    expect(await its.cli.run(['jobs', 'undo', '1042/1', '--yes'])).toMatchObject({ status: 2 });
  });

  it('cancel and abandon ask the control plane', async () => {
    its.farEnd.onOrder = (job) => {
      job.body.state = 'running';
    };
    await its.cli.run(['run', 'web-04', 'command.run', '--yes', '--detach', '--', 'true']);
    expect((await its.cli.run(['jobs', 'cancel', '1042/1', '--after-step'])).status).toBe(0);
    expect(its.farEnd.requests.at(-1)?.body).toEqual({ mode: 'after_step' });
    expect((await its.cli.run(['jobs', 'abandon', '1042/1'])).status).toBe(2);
    expect((await its.cli.run(['jobs', 'abandon', '1042/1', '--yes'])).status).toBe(0);
  });
});
