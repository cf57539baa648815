import { beforeEach, describe, expect, it } from 'vitest';
import { openDocument } from '../../../proto/documents/document.ts';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { endJob, journalEvents, planJob, refuseJob } from '../../../test/fixtures/far-answers.ts';
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

describe('run', () => {
  it('gives the output of the program on stdout, and everything else on stderr', async () => {
    its.farEnd.onOrder = (job) =>
      endJob(
        job,
        [
          ['out', 'hello\n'],
          ['err', 'warning\n'],
          ['note', 'a note'],
          ['out', 'bye\n'],
        ],
        { exitStatus: 0 },
      );
    const done = await its.cli.run(command);
    expect(done.status).toBe(0);
    expect(done.stdout).toBe('hello\nbye\n');
    expect(done.stderr).toContain('warning\na note\n');
    expect(done.stderr).toContain(
      'Succeeded in 2.0 s · 1042/1 · log digest equal on both ends and here',
    );
  });

  it('orders exactly what was asked, signed, under the authorization that covers it', async () => {
    const other = its.farEnd.addGrant({ actions: [{ pattern: 'filesystem.*' }] });
    its.farEnd.onOrder = (job) => endJob(job, []);
    await its.cli.run([
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--timeout',
      '10m',
      '--on-disconnect',
      'stop',
      '--reason',
      'because',
      '--',
      'ls',
      '-l',
      '--json',
    ]);
    const [job] = its.farEnd.jobs.values();
    const order = openDocument('order', Buffer.from(job?.orderEnvelope ?? '', 'base64'), [
      its.world.engineers[0].key,
    ]).payload;
    expect(order).toMatchObject({
      action: 'command.run',
      mode: 'apply',
      parameters: { argv: ['ls', '-l', '--json'] },
      maxRuntimeSeconds: 600,
      onDisconnect: 'stop',
      reason: 'because',
      expect: { hostname: 'web-04', serial: 'S-1', machineId: 'f00d' },
    });
    expect(order.authorization).toBe(its.farEnd.grants[0]?.['digest']);
    expect(order.authorization).not.toBe(other['digest']);
  });

  it.each([
    ['failed', 1, 'ended with status 7'],
    ['cancelled', 4, 'stopped before its end'],
    ['timed_out', 4, 'longer than its order allows'],
    ['interrupted', 6, 'not known'],
    ['expired', 5, 'before it ran out'],
    ['abandoned', 5, 'closed without an answer'],
  ])('a job that %s ends with %i, in three parts', async (state, status, text) => {
    its.farEnd.onOrder = (job) =>
      endJob(job, [['out', 'some\n']], { state, exitStatus: state === 'failed' ? 7 : null });
    const done = await its.cli.run(command);
    expect(done.status).toBe(status);
    expect(done.stdout).toBe('some\n');
    expect(done.stderr).toMatch(new RegExp(`Happened .*${text}[^]*Safe [^]*Next `));
  });

  it('without an authorization asks the agent all the same, and tells its refusal', async () => {
    its.farEnd.grants = [];
    its.farEnd.onOrder = (job) =>
      refuseJob(job, 'grant_missing', 'no authorization came with the order');
    const done = await its.cli.run(command);
    expect(done.status).toBe(3);
    expect([...its.farEnd.jobs.values()][0]?.order.authorization).toBeNull();
    expect(done.stderr).toContain('Refused: grant_missing');
    expect(done.stderr).toContain('Nothing was started. The refusal is signed.');
    expect(done.stderr).toContain('intervene authorize web-04');
  });

  it('orders nothing without a valid certification, key or agent', async () => {
    its.farEnd.certifications = [];
    expect(await its.cli.run(command)).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('not_certified'),
    });
    its.cli.login(its.farEnd, 'eve', 'engineer-token');
    expect(await its.cli.run(command, { profile: 'eve' })).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('no_key'),
    });
    its.farEnd.agent = null;
    expect(await its.cli.run(command)).toMatchObject({
      status: 5,
      stderr: expect.stringContaining('no_agent'),
    });
    expect(its.farEnd.jobs.size).toBe(0);
  });

  it('asks for the name of the server before class C, and orders nothing for another one', async () => {
    its.farEnd.onOrder = (job) => endJob(job, []);
    const words = ['run', 'web-04', 'command.run', '--', 'reboot'];
    const wrong = await its.cli.run(words, { columns: 80, answers: ['web-05\r'] });
    expect([wrong.status, its.farEnd.jobs.size]).toEqual([4, 0]);
    const right = await its.cli.run(words, { columns: 80, answers: ['web-04\r'] });
    expect([right.status, its.farEnd.jobs.size]).toEqual([0, 1]);
    expect((await its.cli.run(words)).status).toBe(2);
  });

  it('with --detach names the job and leaves it', async () => {
    const done = await its.cli.run([
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--detach',
      '--',
      'true',
    ]);
    expect(done).toMatchObject({ status: 0, stdout: '1042/1\n' });
    expect(done.stderr).toContain('intervene logs 1042/1 --follow');
  });

  it('on Ctrl-C leaves at once with 130, and says that the job goes on', async () => {
    its.farEnd.onOrder = (job) => {
      endJob(job, [['out', 'working\n']]);
      job.body.state = 'running';
    };
    const done = await its.cli.run(command, { interruptWhen: (seen) => seen.includes('working') });
    expect(done.status).toBe(130);
    expect(done.stderr).toContain('1042/1 goes on.');
    expect(done.stderr).toContain('Stop: intervene jobs cancel 1042/1');
    expect(its.farEnd.requests.some(({ path }) => path.endsWith('/cancel'))).toBe(false);
  });

  it('sends an order again when the answer got lost, and it stays one job', async () => {
    its.farEnd.onOrder = (job) => {
      endJob(job, [['out', 'once\n']]);
      its.farEnd.unavailable = 1;
    };
    const done = await its.cli.run(command);
    expect([done.status, done.stdout, its.farEnd.jobs.size]).toEqual([0, 'once\n', 1]);
  });

  it('tells when the log that came is not the one the agent signed', async () => {
    its.farEnd.onOrder = (job) => {
      endJob(job, [['out', 'x\n']]);
      job.log = Buffer.from(job.log.toString('latin1').replace('x', 'y'), 'latin1');
    };
    expect((await its.cli.run(command)).stderr).toContain('is not the log the agent signed');
  });

  it('as JSON lines ends with a result', async () => {
    its.farEnd.onOrder = (job) =>
      endJob(
        job,
        [
          ['out', 'hello\n'],
          ['gap', '{"missingBytes":88000,"missingLines":1203}'],
        ],
        { exitStatus: 0 },
      );
    const done = await its.cli.run(['--json', ...command]);
    const lines = done.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map((line) => line['type'])).toEqual(['state', 'log', 'gap', 'result']);
    expect(lines.at(-1)).toMatchObject({ state: 'succeeded', reason: null, exitStatus: 0 });
    expect(lines[2]).toMatchObject({ missingLines: 1203 });
    expect(done.stderr).toBe('');
  });

  it('gives what is no text as base64', async () => {
    its.farEnd.onOrder = (job) => {
      endJob(job, [['out', 'a']]);
      job.log.writeUInt8(0xff, job.log.length - 1);
    };
    const done = await its.cli.run(['--json', ...command]);
    expect(done.stdout).toContain('"base64":"/w=="');
  });

  it('never lets hostile output touch the terminal', async () => {
    its.farEnd.onOrder = (job) => endJob(job, [['out', 'a\u001b]52;c;eA==\u0007b\u001b[2J\n']]);
    const done = await its.cli.run(command, { columns: 80 });
    expect(done.stdout).toBe('ab\n');
    expect(done.stderr).toContain('2 control sequences hidden');
  });
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
    expect(done.stderr).toContain('intervene jobs undo 1042/2');
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
