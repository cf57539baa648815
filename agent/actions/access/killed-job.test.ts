import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import { isWhole } from '../../../test/fixtures/matrix.ts';
import { until } from '../../jobs/jobs-fixture.ts';
import { AccessDisk } from './testing/access-disk.ts';
import { sshdDisk } from './testing/sshd-disk.ts';

/** More than any of these jobs writes. */
const MOST_RECORDS = 40;

interface Case {
  action: string;
  parameters: Record<string, JsonValue>;
  fault: string;
}

const cases: Case[] = [
  {
    action: 'access.reset-password',
    parameters: { user: 'ann' },
    fault: `sed -i 's/^ann:.*/ann:!:19000:0:90:7:30:1:/' etc/shadow
      sed -i 's,^ann:.*,ann:x:1000:1000:Ann:/home/ann:/bin/zsh,' etc/passwd; chattr +i etc/shadow`,
  },
  {
    action: 'access.restore-ssh',
    parameters: {},
    fault: `echo 'Foo bar' >> etc/ssh/sshd_config; rm etc/ssh/ssh_host_*; chmod 777 root/.ssh
      ln -sfn /dev/null etc/systemd/system/ssh.service; touch etc/nologin`,
  },
];

let well: AccessDisk;
let disk: AccessDisk;
beforeAll(async () => {
  well = await sshdDisk();
});
afterAll(() => well.close());
beforeEach(async () => {
  disk = await AccessDisk.copy(well.image);
});
afterEach(async () => {
  await disk.sh('chattr -f -i etc/shadow || true');
  await disk.close();
});

describe.each(cases)('$action whose runner is killed', ({ action, parameters, fault }) => {
  it('after any record of its journal is taken back whole', async () => {
    await disk.sh(fault);
    const before = await disk.look();
    const { bytes } = await disk.plan(action, parameters);
    let kills = 0;
    for (; kills < MOST_RECORDS; kills += isWhole ? 1 : 5) {
      const job = await disk.start({ action, parameters, plan: bytes });
      await until(job, () => job.ended !== null || job.records(0).length > kills);
      const isOver = job.ended !== null;
      // It goes on meanwhile: wherever it is by then, undo must find the way back.
      if (!isOver) process.kill(disk.fixture.runnerPid(job.id), 'SIGKILL');
      const done = await disk.finish(job);
      expect(['interrupted', 'succeeded']).toContain(done.outcome);
      const undone = await disk.undo(action, job.id, parameters);
      expect(undone.outcome, undone.said).toBe('succeeded');
      expect(await disk.look()).toBe(before);
      if (isOver) break;
    }
    expect(kills).toBeGreaterThan(8);
    expect(kills).toBeLessThan(MOST_RECORDS);
  }, 300_000);
});
