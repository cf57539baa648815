import { link, rm } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeDamagedExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { ended, JobsFixture, output } from '../../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import type { Job, Jobs } from '../../../jobs/job.ts';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { sha256 } from '../testing/image-bytes.ts';

let fixture: JobsFixture;
let loops: LoopFixture;
let agent: Jobs;
beforeEach(async () => {
  fixture = await JobsFixture.create();
  loops = await LoopFixture.create();
  agent = fixture.agent();
});
afterEach(async () => {
  await fixture.close();
  await loops.close();
});

async function repair(device: string, change: Partial<JobSpec> = {}): Promise<Job> {
  const parameters = { device };
  const job = await agent.start(
    fixture.spec({ action: 'filesystem.repair', mode: 'apply', parameters, ...change }),
    {},
  );
  await ended(job);
  return job;
}

it.each([
  ['as long as both are there', false],
  ['when the name it was mounted by is gone', true],
])(
  'a file system that was mounted by another name of its image is not repaired: %s',
  { timeout: 60_000 },
  async (_, isGone) => {
    const image = loops.path('image');
    await makeDamagedExt4(image);
    const planned = await repair(image, { mode: 'plan' });
    const plan = (await planned.readPlan())!.toString('base64');

    const other = loops.path('other-name');
    await link(image, other);
    const device = await loops.loop(other);
    await loops.mount('-o', 'ro,noload', device);
    if (isGone) await rm(other);
    const before = await sha256(image);

    const job = await repair(image, { plan });
    const log = (await output(job, 'note')).toString();
    expect(job.ended, log).toMatchObject({ outcome: 'failed', reason: 'device_in_use' });
    expect(log).toContain(isGone ? 'cannot be looked at' : 'hard links');
    expect((await output(job)).toString()).not.toContain('e2fsck');
    expect(await sha256(image)).toBe(before);
  },
);
