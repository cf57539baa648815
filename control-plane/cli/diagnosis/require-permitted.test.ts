import { beforeEach, describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import type { Finding } from '../../../proto/actions/diagnostics.ts';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { diagnosisSample, failedUnit } from '../../../test/fixtures/diagnosis-samples.ts';
import { endJob, planJob } from '../../../test/fixtures/far-answers.ts';

const its = useCliWorld();
const suggesting = (action: string, parameters: Record<string, unknown> = {}) =>
  ({
    ...failedUnit,
    rule: action.replace('-', '_'),
    suggestion: { action, parameters },
  }) as Finding;
const damaged = suggesting('filesystem.repair', { device: '/dev/vdb1' });
const unbootable = suggesting('bootloader.repair');
const badFstab = suggesting('boot.repair-fstab');
const newPackage = suggesting('packages.repair', { packages: ['libfoo1'] });

function answering(findings: Finding[]): void {
  its.farEnd.onOrder = (job) => {
    const { action, mode, parameters, target } = job.order;
    if (action === 'diagnostics.collect') endJob(job, [], { result: diagnosisSample(findings) });
    else if (mode !== 'plan') endJob(job, []);
    else
      planJob(its.world, job, {
        action,
        parameters,
        target: { offline: { ...target } as JsonValue },
      });
  };
}

const ordered = () =>
  [...its.farEnd.jobs.values()].map(({ order }) => `${order.mode} ${order.action}`);

/** The client gives the key of the disk for this action. */
async function give(action: string): Promise<void> {
  const carol = { person: its.world.lead.person, name: 'carol' };
  its.cli.addKey('carol', 'signing', its.world.account.signing, carol);
  const words = ['credentials', 'give', 'web-04', '--name', 'disk-key', '--action', action];
  const file = its.file('secret', 'correct horse');
  const { status } = await its.cli.run([...words, '--from-file', file, '--yes'], {
    profile: 'carol',
  });
  expect(status).toBe(0);
}

beforeEach(() => {
  its.farEnd.addGrant();
});

describe('what the client has to do for --from-findings', () => {
  const onDisk = ['web-04', '--from-findings', '--disk', '/dev/sdb'];

  it.each(['run', 'plan'])(
    'is asked for all repairs at once, before the first (%s)',
    async (verb) => {
      its.farEnd.grants = [];
      its.farEnd.addGrant({ actions: [{ pattern: 'diagnostics.*' }, { pattern: 'filesystem.*' }] });
      answering([unbootable, badFstab, damaged, newPackage]);
      const done = await its.cli.run([verb, ...onDisk], { columns: 200, color: false });
      expect([done.status, ordered()]).toEqual([3, ['apply diagnostics.collect']]);
      expect(done.stderr).toContain('grant_action_not_covered');
      expect(done.stderr).toContain(
        'Next      intervene authorize web-04 --ticket T-8817 --actions ' +
          'boot.repair-fstab,packages.repair,bootloader.repair ' +
          `--limit 'packages.repair:packages=["libfoo1"]'`,
      );
    },
  );

  it('names the secrets of all repairs that it did not give', async () => {
    await give('diagnostics.collect');
    await give('filesystem.repair');
    answering([unbootable, badFstab, damaged]);
    const words = ['run', ...onDisk, '--given', 'disk-key', '--yes', '--accept-class-c'];
    const done = await its.cli.run(words, { columns: 200, color: false });
    expect([done.status, ordered()]).toEqual([3, ['apply diagnostics.collect']]);
    expect(done.stderr).toContain(
      'The client gave no disk-key for boot.repair-fstab, bootloader.repair on web-04',
    );
    for (const id of ['boot.repair-fstab', 'bootloader.repair']) {
      expect(done.stderr).toContain(`credentials give web-04 --name disk-key --action ${id}`);
    }
    await give('boot.repair-fstab');
    await give('bootloader.repair');
    expect((await its.cli.run(words)).status).toBe(0);
  });

  it('is to leave --ticket out where its permission is for another, or to permit it all for that', async () => {
    its.farEnd.addGrant({ ticket: 'T-2', actions: [{ pattern: 'diagnostics.*' }] });
    answering([badFstab, unbootable]);
    const done = await its.cli.run(['plan', ...onDisk, '--ticket', 'T-2'], {
      columns: 200,
      color: false,
    });
    expect([done.status, ordered()]).toEqual([2, ['apply diagnostics.collect']]);
    expect(done.stderr).toContain('--ticket T-2 --actions boot.repair-fstab,bootloader.repair');
  });
});
