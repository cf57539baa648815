import { beforeEach, describe, expect, it } from 'vitest';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { endJob, planJob, refuseJob } from '../../../test/fixtures/far-answers.ts';
import { FAR_NOW } from '../../../test/fixtures/far-end.ts';

const its = useCliWorld();
const asCarol = { profile: 'carol' };
const ordered = () =>
  its.farEnd.requests.filter(({ method, path }) => method === 'POST' && path.endsWith('/jobs'));

/** What a person reads and pastes: it has to be true, and to work as it stands. */
describe('what is said to come next', () => {
  it('is quoted, whatever a server is called, and is the client where only they can', async () => {
    const words = ['servers', 'add', "web 05;x'", '--account', 'acme'];
    expect((await its.cli.run(words)).stderr).toContain(
      `Next: the client runs intervene enroll 'web 05;x'\\''' --mode resident`,
    );
    const own = await its.cli.run(['servers', 'add', 'web-05'], asCarol);
    expect(own.stderr).toContain('Next: intervene --profile carol enroll web-05 --mode resident');
  });

  it('tells a client who orders, and an engineer who permits, and neither to make a key', async () => {
    const run = ['run', 'web-04', 'filesystem.check', '--param', 'device=/dev/vdb'];
    const client = await its.cli.run(run, asCarol);
    expect(client.status).toBe(3);
    expect(client.stderr).toContain('clients permit, engineers order');
    const permit = ['authorize', 'web-04', '--ticket', 'T', '--actions', 'filesystem.*'];
    const engineer = await its.cli.run(permit);
    expect(engineer.status).toBe(3);
    expect(engineer.stderr).toContain('only the client permits');
    expect(client.stderr + engineer.stderr).not.toContain('keys create');
  });

  it('repeats the parameters where a plan is needed, and the words of what has none', async () => {
    const repair = ['run', 'web-04', 'filesystem.repair', '--yes', '--param', 'device=/dev/a b'];
    expect((await its.cli.run(repair)).stderr).toContain(
      "Next      intervene --profile ana plan web-04 filesystem.repair --param 'device=/dev/a b'",
    );
    const plan = await its.cli.run(['plan', 'web-04', 'command.run', '--', 'id', '-u']);
    expect(plan.stderr).toContain('command.run has no plan');
    expect(plan.stderr).toContain('intervene --profile ana run web-04 command.run -- id -u');
  });

  it('is in the words of the person for a missing parameter, and of the group for a missing verb', async () => {
    const missing = await its.cli.run(['plan', 'web-04', 'packages.install']);
    expect(missing.stderr).toContain('packages.install needs packages: --param packages=VALUE');
    const either = await its.cli.run(['plan', 'web-04', 'filesystem.repair']);
    expect(either.stderr).toContain('filesystem.repair: name a device, or a partition of the disk');
    const group = await its.cli.run(['--profile', 'ana', 'jobs']);
    expect(group.stderr).toContain('intervene jobs needs another word');
    expect(group.stderr).toContain('jobs --help');
    const verb = await its.cli.run(['--profile', 'ana', 'jobs', 'sho']);
    expect(verb.stderr).toContain('Did you mean show?');
  });

  it('is that nothing was checked, where a pack cannot be read', async () => {
    const pins = [
      '--root',
      `sha256:${'0'.repeat(64)}`,
      '--account-keys',
      `sha256:${'0'.repeat(64)}`,
    ];
    for (const [file, why] of [
      ['/nowhere.pack', 'there is no such file'],
      [its.cli.home, 'it is a folder'],
    ] as const) {
      const done = await its.cli.run(['verify', file, ...pins]);
      expect(done.status).toBe(2);
      expect(done.stderr).toContain(why);
      expect(done.stderr).toContain('Nothing was checked, and nothing was changed.');
    }
  });
});

describe('what is said of a job', () => {
  const repair = ['run', 'web-04', 'filesystem.repair', '--plan', '1042/1', '--yes'];
  const plan = ['plan', 'web-04', 'filesystem.repair', '--param', 'device=/dev/vdb'];
  beforeEach(() => {
    its.farEnd.addGrant();
    its.farEnd.onOrder = (job) => planJob(its.world, job);
  });

  it('is that nothing was changed, where a plan or an undo is out of date', async () => {
    await its.cli.run(plan);
    its.farEnd.onOrder = (job) =>
      endJob(job, [], { state: 'failed', reason: 'changed_since_plan', detail: 'another UUID' });
    const stale = await its.cli.run(repair);
    expect(stale.status).toBe(1);
    expect(stale.stderr).toContain('Safe      Nothing was changed.');
    expect(stale.stderr).toContain(
      'Next      intervene --profile ana plan web-04 filesystem.repair --param device=/dev/vdb   (plan again)',
    );
    its.farEnd.onOrder = (job) =>
      endJob(job, [], { state: 'failed', reason: 'changed_since', detail: '' });
    const undo = await its.cli.run(['jobs', 'undo', '1042/2', '--yes']);
    expect(undo.stderr).toContain('Taking back filesystem.repair on web-04 did not begin');
    expect(undo.stderr).toContain('Safe      Nothing was changed.');
  });

  it('names what failed: the plan, not the repair', async () => {
    its.farEnd.onOrder = (job) => endJob(job, [], { state: 'failed', reason: 'no_filesystem' });
    expect((await its.cli.run(plan)).stderr).toContain(
      'Planning filesystem.repair on web-04 failed.',
    );
  });

  it('tells an authorization that ended from one that never was', async () => {
    its.farEnd.onOrder = (job) => refuseJob(job, 'grant_missing', '');
    const [grant] = its.farEnd.grants;
    Object.assign(grant ?? {}, { state: 'revoked' });
    expect((await its.cli.run(plan)).stderr).toContain('any more: G-311 was taken back.');
    Object.assign(grant ?? {}, { state: 'expired' });
    expect((await its.cli.run(plan)).stderr).toContain('any more: G-311 has run out.');
    its.farEnd.grants = [];
    expect((await its.cli.run(plan)).stderr).toContain(
      'The client has authorized nothing on this server.',
    );
  });

  it('is at once that its agent is away, and until when it waits', async () => {
    Object.assign(its.farEnd.agent ?? {}, { state: 'unreachable' });
    its.farEnd.onOrder = (job) => endJob(job, [['out', 'x\n']]);
    const done = await its.cli.run(['run', 'web-04', 'command.run', '--yes', '--', 'true']);
    expect(done.stderr).toMatch(
      /The agent on web-04 is away; the job waits for it until \d\d:\d\d/,
    );
  });

  it('shows what it found, line by line, and by which job it was taken back', async () => {
    await its.cli.run(plan);
    its.farEnd.onOrder = (job) =>
      endJob(job, [], { result: { outcome: 'corrected', problems: 2 } });
    const { stderr } = await its.cli.run(repair);
    expect(stderr).toContain('Undo: intervene --profile ana jobs undo 1042/2');
    const undoing = ['jobs', 'undo', '1042/2', '--yes'];
    await its.cli.run(undoing);
    const [, applied, undone] = [...its.farEnd.jobs.values()].map(({ body }) => body);
    Object.assign(applied ?? {}, { undoneByJobId: undone?.id });
    const { stdout } = await its.cli.run(['jobs', 'show', '1042/2']);
    expect(stdout).toContain('result: outcome\tcorrected\nresult: problems\t2\n');
    expect(stdout).toContain('taken back\tby 1042/3\n');
    expect(stdout).toMatch(/^plan\tsha256:[0-9a-f]{64}$/m);
    expect(stdout).not.toMatch(/\t-\n(?=.*exit status)|^plan\t-/m);

    const before = ordered().length;
    const again = await its.cli.run(undoing);
    expect(again.status).toBe(0);
    expect(again.stderr).toContain('1042/2 was taken back already, by 1042/3.');
    expect(ordered()).toHaveLength(before);
  });
});

describe('a permission', () => {
  beforeEach(() => {
    its.cli.addKey('carol', 'signing', its.world.account.signing, {
      person: its.world.lead.person,
      name: 'carol',
    });
  });

  it('lasts longer when it is extended, never shorter, and not over a day', async () => {
    const ends = FAR_NOW / 1000 + 4 * 3600;
    its.farEnd.addGrant({ expiresAt: ends });
    const extend = (time: string) =>
      its.cli.run(['authorize', '--extend', 'G-311', '--for', time, '--yes', '--json'], asCarol);
    const longer = await extend('2h');
    expect(longer.status).toBe(0);
    expect(Date.parse(JSON.parse(longer.stdout).expiresAt)).toBe((ends + 2 * 3600) * 1000);
    const tooLong = await extend('21h');
    expect(tooLong.status).toBe(2);
    expect(tooLong.stderr).toContain('over 24 hours from now');
  });

  it('says what remains after its end: what runs, and undo', async () => {
    const words = ['authorize', 'web-04', '--ticket', 'T', '--actions', 'filesystem.*', '--yes'];
    const done = await its.cli.run([...words, '--backup', 'no', '--interruption', 'yes'], asCarol);
    expect(done.stderr).toMatch(/At the end +Nothing new starts; what runs at that time goes on/);
    expect(done.stderr).toMatch(/Undo +Engineers may take back what was changed/);
    const asked = await its.cli.run(['revoke', 'G-311'], {
      ...asCarol,
      columns: 200,
      answers: ['\r'],
    });
    expect(asked.stderr).toContain('Engineers can still undo what they changed under it');
  });

  it('is said to have no effect where the server has no agent', async () => {
    its.farEnd.agent = null;
    const words = ['authorize', 'web-04', '--ticket', 'T', '--actions', 'filesystem.*', '--yes'];
    const done = await its.cli.run([...words, '--backup', 'no', '--interruption', 'yes'], asCarol);
    expect(done.status).toBe(0);
    expect(done.stderr).toContain('web-04 has no agent yet');
  });

  it('is taken back once, and by the server itself where the control plane is away', async () => {
    its.farEnd.addGrant({}, { state: 'revoked' });
    const again = await its.cli.run(['revoke', 'G-311'], { ...asCarol, columns: 80 });
    expect(again.status).toBe(0);
    expect(again.stderr).toContain('G-311 was taken back already');
    expect(its.farEnd.revocations).toEqual([]);
    await its.farEnd.stop();
    const away = await its.cli.run(['revoke', 'G-311'], asCarol);
    await its.farEnd.start();
    expect(away.status).toBe(5);
    expect(away.stderr).toContain('Next      intervene-agent lock');
  });
});
