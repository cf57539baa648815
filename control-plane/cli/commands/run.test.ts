import { beforeEach, describe, expect, it } from 'vitest';
import { openDocument } from '../../../proto/documents/document.ts';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { endJob, refuseJob } from '../../../test/fixtures/far-answers.ts';

const its = useCliWorld();
const command = ['run', 'web-04', 'command.run', '--yes', '--', 'sh', '-c', 'echo hello'];
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

  it('orders nothing for another ticket than that of the authorization it would be under', async () => {
    const words = [...command.slice(0, 4), '--ticket', 'NOPE', ...command.slice(4)];
    const done = await its.cli.run(words);
    expect([done.status, its.farEnd.jobs.size]).toEqual([2, 0]);
    expect(done.stderr).toContain('ticket_mismatch');
    expect(done.stderr).toMatch(/NOPE: .*G-311, is for T-8817/);
  });

  it('takes the authorization of the ticket that is named, and any ticket where there is none', async () => {
    its.farEnd.onOrder = (job) => endJob(job, [], { exitStatus: 0 });
    const words = [...command.slice(0, 4), '--ticket', 'T-2', ...command.slice(4)];
    const short = its.farEnd.addGrant({ ticket: 'T-2', expiresAt: its.world.now + 60 });
    expect((await its.cli.run(words)).status).toBe(0);
    expect([...its.farEnd.jobs.values()][0]?.order.authorization).toBe(short['digest']);
    its.farEnd.grants = [];
    expect((await its.cli.run(words)).status).toBe(0);
    expect([...its.farEnd.jobs.values()][1]?.order.authorization).toBeNull();
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

  it.each([
    [{ detail: '/srv/nope.img is not there' }, '', 'failed. /srv/nope.img is not there.'],
    [{ detail: 'of the result' }, 'Of the receipt.', 'failed. Of the receipt.'],
    [{ outcome: 'failed', detail: 7 }, '', 'failed.'],
    [null, '', 'failed.'],
  ])('says why it failed: result %j, receipt %j', async (result, detail, text) => {
    its.farEnd.onOrder = (job) =>
      endJob(job, [], { state: 'failed', reason: 'device_missing', result, detail });
    const words = ['run', 'web-04', 'filesystem.check', '--param', 'device=/srv/nope.img'];
    const done = await its.cli.run(words, { color: false });
    expect(done.status).toBe(1);
    expect(done.stderr).toContain(`Happened  filesystem.check on web-04 ${text}\n`);
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
    expect(done.stderr).toContain('Next: intervene --profile ana logs 1042/1 --follow');
  });

  it('on Ctrl-C leaves at once with 130, and says that the job goes on', async () => {
    its.farEnd.onOrder = (job) => {
      endJob(job, [['out', 'working\n']]);
      job.body.state = 'running';
    };
    const done = await its.cli.run(command, { interruptWhen: (seen) => seen.includes('working') });
    expect(done.status).toBe(130);
    expect(done.stderr).toContain('1042/1 goes on.');
    expect(done.stderr).toContain('Stop: intervene --profile ana jobs cancel 1042/1');
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
