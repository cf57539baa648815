import { beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../../proto/actions/diagnostics.ts';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import {
  damagedFilesystem,
  diagnosisSample,
  failedUnit,
} from '../../../test/fixtures/diagnosis-samples.ts';
import { endJob, planJob, refuseJob } from '../../../test/fixtures/far-answers.ts';
import type { FarJob } from '../../../test/fixtures/far-end.ts';

const its = useCliWorld();
const plain = { columns: 300, color: false };
const onDisk = ['--disk', '/dev/sdb', '--system', 'abcd', '--ticket', 'T-8817'];
const SAID = onDisk.join(' ');
const fstab = ['web-04', 'boot.repair-fstab'];

/** Plans for the system that the order names, as agents do. */
function planning(job: FarJob): void {
  const { action, parameters, target } = job.order;
  planJob(its.world, job, { action, parameters, target: { offline: { ...target } as JsonValue } });
}

beforeEach(() => {
  its.farEnd.addGrant();
});

describe('a command to copy is for the same system and ticket', () => {
  it('carries out a plan that was made, and plans again what is no longer true', async () => {
    its.farEnd.onOrder = (job) => {
      if (job.order.mode === 'plan') planning(job);
      else endJob(job, [], { state: 'failed', reason: 'changed_since_plan', detail: 'edited' });
    };
    const planned = await its.cli.run(['plan', ...fstab, ...onDisk], plain);
    const [, named = ''] = /--plan ([0-9a-f]{6}) --ticket T-8817/.exec(planned.stderr) ?? [];
    const run = ['run', ...fstab, '--plan', named, '--yes', '--ticket', 'T-8817'];
    const again = `intervene --profile ana plan web-04 boot.repair-fstab ${SAID}`;
    expect((await its.cli.run(run, plain)).stderr).toContain(`Next      ${again}   (plan again)`);
    const stored = again.replace(' --ticket T-8817', '');
    for (const words of [
      ['jobs', 'show', '1042/2'],
      ['logs', '1042/2', '--follow'],
    ]) {
      expect((await its.cli.run(words, plain)).stderr).toContain(stored);
    }
  });

  it('prints the plan that --yes needs, and that other parameters need', async () => {
    its.farEnd.onOrder = planning;
    const repair = ['web-04', 'filesystem.repair', '--param', 'partition=1', ...onDisk];
    const unread = await its.cli.run(['run', ...repair, '--yes'], plain);
    expect(unread.stderr).toContain(`plan ${repair.join(' ')}`);
    await its.cli.run(['plan', ...repair], plain);
    const other = ['web-04', 'filesystem.repair', '--param', 'partition=2', '--ticket', 'T-8817'];
    const done = await its.cli.run(['run', ...other, '--plan', '1042/1', '--yes'], plain);
    expect(done.stderr).toContain(`plan web-04 filesystem.repair --param partition=2 ${SAID}`);
  });

  it('orders again what an agent refused or did not get', async () => {
    its.farEnd.onOrder = (job) => refuseJob(job, 'nonce_used', '');
    const refused = await its.cli.run(['plan', ...fstab, ...onDisk], plain);
    expect(refused.stderr).toContain(`run web-04 boot.repair-fstab ${SAID}   (order it again)`);
    its.farEnd.onOrder = (job) => endJob(job, [], { state: 'expired' });
    const expired = await its.cli.run(['plan', ...fstab, ...onDisk], plain);
    expect(expired.stderr).toContain(`run web-04 boot.repair-fstab ${SAID}   (order it again)`);
  });

  it('repairs what a diagnosis found, and looks again', async () => {
    const suggestion = { action: 'boot.repair-fstab' as const, parameters: {} };
    const findings: Finding[] = [{ ...failedUnit, suggestion }];
    its.farEnd.onOrder = (job) => {
      if (job.order.mode === 'plan') planning(job);
      else endJob(job, [], { result: diagnosisSample(findings) });
    };
    const found = await its.cli.run(['diagnose', 'web-04', ...onDisk], plain);
    expect(found.stdout).toContain(`plan web-04 boot.repair-fstab ${SAID}`);
    const planned = await its.cli.run(['plan', 'web-04', '--from-findings', ...onDisk], plain);
    expect(planned.stderr).toContain(`run web-04 --from-findings ${SAID}`);
    const run = ['run', 'web-04', '--from-findings', '--yes', ...onDisk];
    const ran = await its.cli.run(run, plain);
    expect(ran.stderr).toContain(`Look again: intervene --profile ana diagnose web-04 ${SAID}`);
    findings.push({ ...damagedFilesystem, rule: 'hw.smart_failing', suggestion: null });
    const failing = await its.cli.run(['plan', 'web-04', '--from-findings', ...onDisk], plain);
    expect(failing.stderr).toContain(`diagnose web-04 ${SAID}   (read the findings)`);
  });

  it('names a disk, and a file, where only the person knows which', async () => {
    const carol = { person: its.world.lead.person, name: 'carol' };
    its.cli.addKey('carol', 'signing', its.world.account.signing, carol);
    const key = its.file('secret', 'correct horse');
    const give = ['credentials', 'give', 'web-04', '--name', 'disk-key', '--from-file', key];
    const action = ['--action', 'diagnostics.collect', '--yes'];
    const given = await its.cli.run([...give, ...action], { ...plain, profile: 'carol' });
    expect(given.stderr).toContain(
      'an engineer runs intervene run web-04 diagnostics.collect --disk DISK --given disk-key',
    );
    its.farEnd.onOrder = planning;
    const words = ['plan', ...fstab, '--disk', '/dev/sdb', '--secret', `disk-key=${key}`];
    const planned = await its.cli.run(words, plain);
    expect(planned.stderr).toMatch(/--plan [0-9a-f]{6} --secret disk-key=FILE/);
  });
});
