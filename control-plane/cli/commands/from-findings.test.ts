import { beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../../proto/actions/diagnostics.ts';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import {
  damagedFilesystem,
  diagnosisSample,
  failedUnit,
} from '../../../test/fixtures/diagnosis-samples.ts';
import { endJob, planJob } from '../../../test/fixtures/far-answers.ts';

const its = useCliWorld();
const repairing: Finding = {
  ...damagedFilesystem,
  suggestion: { action: 'filesystem.repair', parameters: { device: '/dev/vdb1' } },
};
const restarting: Finding = {
  ...failedUnit,
  suggestion: { action: 'service.restart', parameters: { unit: 'nginx.service' } },
};

const badNetwork: Finding = {
  ...{ rule: 'net.two_managers', area: 'network', severity: 'warning', subject: 'ens3' },
  title: 'Two services set up ens3 at boot',
  evidence: [],
  suggestion: { action: 'network.recover', parameters: {} },
  byHand: 'Have one of them leave ens3 alone.',
};
const SUMMARY = 'Nothing is changed: what is wrong cannot be corrected without knowing more.';
const NEEDED = 'Name whose it is: manager.';

const unbootable: Finding = {
  ...failedUnit,
  rule: 'boot.cfg_missing',
  suggestion: { action: 'bootloader.repair', parameters: {} },
};
const badFstab: Finding = {
  ...failedUnit,
  rule: 'boot.fstab_missing_device',
  suggestion: { action: 'boot.repair-fstab', parameters: {} },
};
/** The same, but what is wrong with the network needs a word of a person; `later` is what is found at the end. */
function answeringWithoutSteps(findings: Finding[], later = findings): void {
  let looks = 0;
  answering(findings);
  const others = its.farEnd.onOrder!;
  its.farEnd.onOrder = (job) => {
    const { action, mode } = job.order;
    const { parameters } = job.order;
    if (action === 'diagnostics.collect') {
      endJob(job, [], { result: diagnosisSample(looks++ === 0 ? findings : later) });
    } else if (action === 'network.recover' && mode === 'plan') {
      const nothing = { summary: SUMMARY, findings: [NEEDED], steps: [] };
      planJob(its.world, job, { action, parameters, ...nothing });
    } else others(job);
  };
}

/** A server that finds these, plans what it is asked to plan, and succeeds or fails in doing it. */
function answering(findings: Finding[], failing = '', planless = ''): void {
  its.farEnd.onOrder = (job) => {
    const { action, mode } = job.order;
    if (action === 'diagnostics.collect') endJob(job, [], { result: diagnosisSample(findings) });
    else if (mode === 'plan' && action === planless) {
      endJob(job, [], { state: 'failed', reason: 'unit_unknown', detail: 'There is no nginx.' });
    } else if (mode === 'plan')
      planJob(its.world, job, { action, parameters: job.order.parameters });
    else if (action === failing) endJob(job, [], { state: 'failed', reason: 'errors_left' });
    else endJob(job, []);
  };
}

const ordered = () =>
  [...its.farEnd.jobs.values()].map(({ order }) => `${order.mode} ${order.action}`);

beforeEach(() => {
  its.farEnd.addGrant();
});

describe('intervene plan --from-findings', () => {
  it('plans every repair that is suggested, once, what others depend on first', async () => {
    answering([restarting, repairing, { ...repairing, rule: 'fs.ext4_super' }]);
    const done = await its.cli.run(['plan', 'web-04', '--from-findings'], {
      columns: 100,
      color: false,
    });
    expect(done.status, done.stderr).toBe(0);
    expect(ordered()).toEqual([
      'apply diagnostics.collect',
      'plan filesystem.repair',
      'plan service.restart',
    ]);
    expect(done.stderr).toContain(
      'Repair 1 of 2: filesystem.repair  for fs.ext4_errors, fs.ext4_super',
    );
    expect(done.stderr).toContain('intervene --profile ana run web-04 --from-findings');
  });

  it('says what could not be planned and why, and offers what could', async () => {
    answering([restarting, repairing], '', 'service.restart');
    const done = await its.cli.run(['plan', 'web-04', '--from-findings'], { color: false });
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('Not planned: 1 of 2');
    expect(done.stderr).toContain('service.restart (1042/3)  unit_unknown: There is no nginx.');
    expect(done.stderr).toMatch(
      /planned: intervene .*run web-04 filesystem\.repair --plan [0-9a-f]{6}/,
    );
    expect(done.stderr).not.toContain('run web-04 --from-findings');
  });

  it('prints what it planned as JSON', async () => {
    answering([repairing]);
    const { stdout } = await its.cli.run(['--json', 'plan', 'web-04', '--from-findings']);
    expect(JSON.parse(stdout)).toMatchObject({
      diagnosis: '1042/1',
      repairs: [
        {
          action: 'filesystem.repair',
          parameters: { device: '/dev/vdb1' },
          findings: [{ rule: 'fs.ext4_errors', subject: 'vdb1' }],
          plan: { digest: expect.stringMatching(/^sha256:/) as string },
        },
      ],
    });
  });

  it('plans what several findings need of one repair together, where that allows no more', async () => {
    const lacking = (packages?: string[]): Finding => ({
      ...failedUnit,
      rule: packages === undefined ? 'pkg.unfinished' : 'pkg.broken_depends',
      suggestion: { action: 'packages.repair', parameters: packages ? { packages } : {} },
    });
    const account = (parameters: { user?: string }): Finding => ({
      ...failedUnit,
      suggestion: { action: 'access.repair-accounts', parameters },
    });
    const named = { packages: [['libbar1', 'libfoo1']] };
    its.farEnd.addGrant({ actions: [{ pattern: 'packages.repair', parameters: named }] });
    const packages = [lacking(), lacking(['libbar1']), lacking(['libfoo1', 'libbar1'])];
    answering([...packages, account({}), account({ user: 'kim' })]);
    const { stdout } = await its.cli.run(['--json', 'plan', 'web-04', '--from-findings']);
    const { repairs } = JSON.parse(stdout) as { repairs: { parameters: object }[] };
    expect(repairs.map(({ parameters }) => parameters)).toEqual([
      { packages: ['libbar1', 'libfoo1'] },
      {},
      { user: 'kim' },
    ]);
  });

  it('proposes for a running system only what works on one, and says where else', async () => {
    answering([unbootable]);
    const live = await its.cli.run(['plan', 'web-04', '--from-findings']);
    expect([live.status, ordered()]).toEqual([0, ['apply diagnostics.collect']]);
    const { stdout } = await its.cli.run(['diagnose', 'web-04'], { columns: 200, color: false });
    expect(stdout).toMatch(/by hand.* From a rescue system: bootloader\.repair with --disk\./s);
    await its.cli.run(['plan', 'web-04', '--from-findings', '--disk', '/dev/sdb']);
    expect(ordered().at(-1)).toBe('plan bootloader.repair');
  });

  it('leaves to a person what its plan changes nothing of, and says what is needed', async () => {
    answeringWithoutSteps([badNetwork, repairing]);
    const done = await its.cli.run(['plan', 'web-04', '--from-findings'], { color: false });
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('Left to a person: 1 of 2');
    expect(done.stderr).toContain(`network.recover (1042/3)  ${SUMMARY}`);
    expect(done.stderr).toContain(NEEDED);
    expect(done.stderr).toContain(`net.two_managers ens3, by hand: ${badNetwork.byHand}`);
    expect(done.stderr).toContain('run web-04 --from-findings');
    const { stdout } = await its.cli.run(['--json', 'plan', 'web-04', '--from-findings']);
    expect((JSON.parse(stdout) as { repairs: object[] }).repairs).toMatchObject([
      { action: 'filesystem.repair', leftToPerson: false },
      { action: 'network.recover', leftToPerson: true, detail: SUMMARY, plan: { steps: 0 } },
    ]);
  });

  it('orders nothing on hardware that fails', async () => {
    answering([repairing, { ...failedUnit, rule: 'hw.smart_failing', severity: 'critical' }]);
    const done = await its.cli.run(['plan', 'web-04', '--from-findings']);
    expect([done.status, ordered()]).toEqual([1, ['apply diagnostics.collect']]);
    expect(done.stderr).toContain('hardware_failing');
  });

  it('takes no action of its own, and no suggestion that the catalogue does not know', async () => {
    const own = await its.cli.run(['plan', 'web-04', 'filesystem.repair', '--from-findings']);
    expect([own.status, its.farEnd.jobs.size]).toEqual([2, 0]);
    answering([{ ...failedUnit, suggestion: { action: 'service.restart', parameters: { x: 1 } } }]);
    await its.cli.run(['plan', 'web-04', '--from-findings']);
    expect(ordered()).toEqual(['apply diagnostics.collect']);
  });
});

describe('intervene run --from-findings', () => {
  it('plans, asks and carries out each in turn', async () => {
    answering([restarting, repairing]);
    const done = await its.cli.run(['run', 'web-04', '--from-findings'], {
      columns: 100,
      answers: ['web-04\r', 'y\r'],
    });
    expect(done.status, done.stderr).toBe(0);
    expect(ordered().slice(1)).toEqual([
      'plan filesystem.repair',
      'apply filesystem.repair',
      'plan service.restart',
      'apply service.restart',
    ]);
  });

  it('ends with the first that does not succeed', async () => {
    answering([restarting, repairing], 'filesystem.repair');
    const words = ['run', 'web-04', '--from-findings', '--yes', '--accept-class-c'];
    const done = await its.cli.run(words, { color: false });
    expect(done.status).toBe(1);
    expect(ordered()).not.toContain('plan service.restart');
    expect(done.stderr).toContain(
      'Stopped at 1 of 2, filesystem.repair; done: none; not begun: 1 (service.restart)',
    );
  });

  it('says at which it stopped and what is done, also as JSON and where one cannot be planned', async () => {
    answering([restarting, repairing], '', 'service.restart');
    const words = ['run', 'web-04', '--from-findings', '--yes', '--accept-class-c'];
    const done = await its.cli.run(words, { color: false });
    expect(done.status).toBe(1);
    expect(done.stderr).toContain(
      'Stopped at 2 of 2, service.restart; done: 1042/3; not begun: none',
    );
    const { stdout } = await its.cli.run(['--json', ...words]);
    expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toEqual({
      type: 'repairs',
      of: 2,
      stoppedAt: 2,
      done: ['1042/7'],
      left: [],
      notBegun: [],
    });
  });

  it('leaves to a person what needs one, does the others, and counts it for nothing', async () => {
    answeringWithoutSteps([badNetwork, restarting, repairing], [badNetwork]);
    const words = ['run', 'web-04', '--from-findings', '--yes', '--accept-class-c'];
    const done = await its.cli.run(words, { color: false });
    expect(done.status, done.stderr).toBe(1);
    expect(ordered()).toContain('apply service.restart');
    expect(done.stderr).toContain('Left to a person: 1 of 3');
    expect(done.stderr).toContain(NEEDED);
    expect(done.stderr).not.toContain('Stopped at');
    answeringWithoutSteps([badNetwork]);
    const alone = await its.cli.run(['--json', ...words]);
    expect(alone.status).toBe(1);
    expect(JSON.parse(alone.stdout.trim().split('\n').at(-1)!)).toMatchObject({
      ...{ type: 'repairs', of: 1, stoppedAt: null, done: [], notBegun: [] },
      left: [{ action: 'network.recover', detail: SUMMARY, needed: [NEEDED] }],
    });
  });

  it('counts as done what a repair before has mended', async () => {
    answeringWithoutSteps([badNetwork, repairing], []);
    const words = ['run', 'web-04', '--from-findings', '--yes', '--accept-class-c'];
    const done = await its.cli.run(['--json', ...words]);
    expect(done.status, done.stderr).toBe(0);
    expect(JSON.parse(done.stdout.trim().split('\n').at(-1)!)).toMatchObject({
      ...{ of: 2, stoppedAt: null, done: ['1042/3', '1042/4'], left: [] },
    });
  });

  it('says where it stopped when somebody does not agree', async () => {
    answering([restarting, repairing]);
    const done = await its.cli.run(['run', 'web-04', '--from-findings'], {
      columns: 100,
      answers: ['web-04\r', 'n\r'],
    });
    expect(done.status).toBe(4);
    expect(done.stderr).toContain('Stopped at 2 of 2');
  });

  it('does not take --yes alone where any repair is of class C, and begins none', async () => {
    answering([badFstab, unbootable]);
    const words = ['run', 'web-04', '--from-findings', '--disk', '/dev/sdb', '--yes'];
    const done = await its.cli.run([...words, '--ticket', 'T-8817'], {
      columns: 200,
      color: false,
    });
    expect([done.status, ordered()]).toEqual([2, ['apply diagnostics.collect']]);
    expect(done.stderr).toContain('Of class C: bootloader.repair. --yes needs --accept-class-c');
    expect(done.stderr).toContain(
      'plan web-04 --from-findings --disk /dev/sdb --ticket T-8817   (read',
    );
  });

  it('says what it has done before an error that knows only of itself', async () => {
    answering([restarting, repairing]);
    const options = { columns: 200, color: false, answers: ['web-04\r', 'n\r'] };
    const words = ['run', 'web-04', '--from-findings', '--ticket', 'T-8817'];
    const done = await its.cli.run(words, options);
    expect(done.status).toBe(4);
    expect(done.stderr).toContain('not_confirmed');
    expect(done.stderr).not.toContain('Nothing was changed');
    expect(done.stderr).toContain('The repairs before it stay as they are: 1042/3.');
    expect(done.stderr).toContain('diagnose web-04 --ticket T-8817   (look again)');
  });

  it('counts as not begun what could not even be prepared', async () => {
    answering([restarting, repairing]);
    const others = its.farEnd.onOrder;
    its.farEnd.onOrder = (job) => {
      others(job);
      if (job.order.action === 'filesystem.repair' && job.order.mode === 'apply')
        its.farEnd.agent = null;
    };
    const words = ['run', 'web-04', '--from-findings', '--yes', '--accept-class-c'];
    const done = await its.cli.run(words, { color: false });
    expect(done.stderr).toContain(
      'Stopped at 2 of 2, service.restart; done: 1042/3; not begun: 1 (service.restart)',
    );
  });
});
