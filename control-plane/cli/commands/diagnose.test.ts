import { beforeEach, describe, expect, it } from 'vitest';
import type { DiagnosticsResult } from '../../../proto/actions/diagnostics.ts';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import {
  damagedFilesystem,
  diagnosisSample,
  failedUnit,
  fullFilesystem,
  hostileFinding,
} from '../../../test/fixtures/diagnosis-samples.ts';
import { endJob, refuseJob } from '../../../test/fixtures/far-answers.ts';

const its = useCliWorld();
const words = ['diagnose', 'web-04'];

/** What the agent answers, one result after the other. */
function answer(...results: unknown[]): void {
  its.farEnd.onOrder = (job) => endJob(job, [], { result: results.shift() });
}

const failed = (area: 'filesystems' | 'services'): DiagnosticsResult['probes'] => [
  { probe: `${area}.x`, area, outcome: 'probe_failed', detail: 'slow', durationMs: 1 },
];

beforeEach(() => {
  its.farEnd.addGrant();
});

describe('intervene diagnose', () => {
  it('orders one look, class A, and asks nothing', async () => {
    answer(diagnosisSample([]));
    const done = await its.cli.run(words, { columns: 80 });
    expect(done).toMatchObject({ status: 0 });
    const [job] = [...its.farEnd.jobs.values()];
    expect(job!.order).toMatchObject({ action: 'diagnostics.collect', mode: 'apply', plan: null });
    expect(job!.order.parameters).toEqual({});
    expect(done.stderr).toContain('Nothing found');
  });

  it('exits 0 whatever it found', async () => {
    answer(diagnosisSample([damagedFilesystem, failedUnit]));
    const done = await its.cli.run(words);
    expect(done.status).toBe(0);
    expect(done.stderr).toContain('1 critical, 1 warning, 0 notices');
  });

  it('prints the command of the catalogue where there is one, and else what to do by hand', async () => {
    answer(diagnosisSample([damagedFilesystem, fullFilesystem]));
    const { stdout } = await its.cli.run(words, { columns: 100, color: false });
    expect(stdout).toContain(
      'intervene --profile ana run web-04 filesystem.check --param device=/dev/vdb1',
    );
    expect(stdout).toContain('by hand See what takes the space: du -xh');
  });

  it.each([
    ['takes other parameters', { action: 'filesystem.check', parameters: { disk: '/dev/vdb1' } }],
    ['takes one more', { action: 'filesystem.check', parameters: { device: '/dev/x', y: 1 } }],
  ])('makes no command of a suggestion that %s', async (_, suggestion) => {
    const finding = { ...damagedFilesystem, suggestion } as typeof damagedFilesystem;
    answer(diagnosisSample([finding]));
    const { stdout } = await its.cli.run(words, { columns: 100 });
    expect(stdout).toContain('Check it unmounted, from rescue');
    expect(stdout).not.toContain('next ');
  });

  it('takes no suggestion of a hostile server to run any command', async () => {
    const suggestion = { action: 'command.run', parameters: { argv: ['sh', '-c', 'evil'] } };
    answer({ ...diagnosisSample([]), findings: [{ ...failedUnit, suggestion }] });
    const done = await its.cli.run(words, { columns: 100 });
    expect(done.status).toBe(1);
    expect(done.stdout + done.stderr).not.toContain('command.run');
  });

  it('says what is new, gone and the same since the last time', async () => {
    answer(
      diagnosisSample([fullFilesystem, failedUnit]),
      diagnosisSample([failedUnit, damagedFilesystem]),
    );
    const first = await its.cli.run(words);
    expect(first.stderr).not.toContain('since');
    const { stdout, stderr } = await its.cli.run(words);
    expect(stderr).toContain('since 1042/1: 1 new, 1 gone, 1 same');
    const states = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t').slice(1, 4).join(' '));
    expect(states).toEqual([
      'same svc.failed_unit nginx.service',
      'new fs.ext4_errors vdb1',
      'gone fs.full /var',
    ]);
    const gone = `-\tgone\tfs.full\t/var\t${fullFilesystem.title}\t-\t`;
    expect(stdout.split('\n').at(-2)).toBe(gone);
  });

  it('calls nothing gone that was not looked for again', async () => {
    answer(
      diagnosisSample([fullFilesystem, failedUnit]),
      diagnosisSample([], { probes: failed('filesystems') }),
    );
    await its.cli.run(words);
    const { stdout, stderr } = await its.cli.run(words);
    expect(stderr).toContain('0 new, 1 gone, 0 same');
    expect(stdout).toContain('gone\tsvc.failed_unit');
    expect(stderr).toContain('Could not look at filesystems.x: slow');
  });

  it('compares one area with what the last whole diagnosis said of it', async () => {
    answer(diagnosisSample([fullFilesystem, failedUnit]), diagnosisSample([]));
    await its.cli.run(words);
    const { stderr } = await its.cli.run([...words, '--area', 'services,ssh']);
    expect([...its.farEnd.jobs.values()].at(-1)!.order.parameters).toEqual({
      areas: ['services', 'ssh'],
    });
    expect(stderr).toContain('0 new, 1 gone, 0 same');
  });

  it('compares nothing with a look at less', async () => {
    answer(diagnosisSample([]), diagnosisSample([fullFilesystem]));
    await its.cli.run([...words, '--area', 'ssh']);
    expect((await its.cli.run(words)).stderr).not.toContain('since');
  });

  it('refuses an area that is none, and orders nothing', async () => {
    const done = await its.cli.run([...words, '--area', 'firewal']);
    expect(done.status).toBe(2);
    expect(done.stderr).toContain('Did you mean firewall?');
    expect(its.farEnd.jobs.size).toBe(0);
  });

  it.each([{ columns: 80 }, {}])('makes text of a hostile server harmless, %o', async (options) => {
    answer(diagnosisSample([hostileFinding]));
    const { stdout } = await its.cli.run(words, { ...options, color: false });
    for (const character of ['\u001b', '\u0007', '\u202e', '\r']) {
      expect(stdout).not.toContain(character);
    }
    expect(stdout).toContain('⟦U+001B⟧');
  });

  it('gives the body of the job and the difference as JSON', async () => {
    answer(diagnosisSample([fullFilesystem]), diagnosisSample([failedUnit]));
    await its.cli.run(words);
    const { stdout } = await its.cli.run(['--json', ...words]);
    expect(JSON.parse(stdout)).toMatchObject({
      action: 'diagnostics.collect',
      result: { findings: [{ rule: 'svc.failed_unit' }] },
      difference: { new: [{ rule: 'svc.failed_unit' }], gone: [{ rule: 'fs.full' }], same: [] },
    });
  });

  it('says so when the answer cannot be read', async () => {
    answer({ findings: 'many' });
    const done = await its.cli.run(words);
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('in a form that this program does not know');
  });

  it('ends like any job when the agent refuses', async () => {
    its.farEnd.onOrder = (job) => refuseJob(job, 'policy', 'policy.toml does not allow it');
    expect((await its.cli.run(words)).status).toBe(3);
  });
});
