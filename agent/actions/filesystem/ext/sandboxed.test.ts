import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { itEach } from '../../../../test/fixtures/matrix.ts';
import { planSchema } from '../../../../proto/documents/kinds/plan.ts';
import type { JsonValue } from '../../../../proto/documents/fields.ts';
import { makeDamagedExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { ended, JobsFixture, output } from '../../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import type { Job, Jobs } from '../../../jobs/job.ts';
import type { EndedRecord } from '../../../jobs/journal-record.ts';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { sha256 } from '../testing/image-bytes.ts';
import { makeManyProblems } from '../testing/many-problems.ts';
import { programsWith } from '../testing/running-programs.ts';

describe('in the runner’s sandbox', { timeout: 120_000 }, () => {
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

  type Parameters = Record<string, JsonValue>;

  async function run(
    action: string,
    mode: JobSpec['mode'],
    parameters: Parameters,
    change: Partial<JobSpec> = {},
  ): Promise<{ job: Job; end: EndedRecord }> {
    const spec = fixture.spec({ action, mode, parameters, ...change });
    const job = await agent.start(spec, {});
    return { job, end: await ended(job) };
  }

  async function plan(parameters: Parameters): Promise<string> {
    const { job, end } = await run('filesystem.repair', 'plan', parameters);
    expect(end.outcome, (await output(job, 'note')).toString()).toBe('succeeded');
    const bytes = (await job.readPlan())!;
    expect(() => planSchema.parse(JSON.parse(bytes.toString('utf8')))).not.toThrow();
    return bytes.toString('base64');
  }

  itEach(1, [
    ['an image file', false, false],
    ['a loop device', true, false],
    ['a loop device, backups in a folder of the order', true, true],
  ] as [string, boolean, boolean][])(
    '%s is checked, planned, repaired and undone',
    async (_: string, isLoop: boolean, hasFolder: boolean) => {
      const image = loops.path('image');
      await makeDamagedExt4(image);
      const before = await sha256(image);
      const device = isLoop ? await loops.loop(image) : image;
      const backupDirectory = loops.path('backups');
      if (hasFolder) await mkdir(backupDirectory);
      const parameters = hasFolder ? { device, backupDirectory } : { device };
      const settled = async () => {
        if (isLoop) await loops.run('blockdev', '--flushbufs', device);
        return sha256(image);
      };

      const checked = await run('filesystem.check', 'apply', { device });
      expect(checked.end).toMatchObject({
        outcome: 'succeeded',
        result: { outcome: 'errors_left' },
      });
      const first = await plan(parameters);
      expect(await plan(parameters)).toBe(first);
      expect(await settled()).toBe(before);

      const { job, end } = await run('filesystem.repair', 'apply', parameters, { plan: first });
      expect(end, (await output(job, 'note')).toString()).toMatchObject({
        outcome: 'succeeded',
        reason: null,
        result: { outcome: 'corrected' },
      });
      expect(job.progress).not.toBeNull();
      const again = await run('filesystem.check', 'apply', { device });
      expect(again.end.result).toMatchObject({ outcome: 'clean' });

      const undone = await run('filesystem.repair', 'undo', parameters, { undoes: job.id });
      expect(undone.end, (await output(undone.job, 'note')).toString()).toMatchObject({
        outcome: 'succeeded',
      });
      expect(await settled()).toBe(before);
    },
  );

  it('a mounted device is refused, whoever mounted it', async () => {
    const image = loops.path('image');
    await makeDamagedExt4(image);
    const device = await loops.loop(image);
    await loops.mount('-o', 'ro,noload', device);
    for (const path of [device, image]) {
      const { end } = await run('filesystem.check', 'apply', { device: path });
      expect(end).toMatchObject({ outcome: 'failed', reason: 'device_in_use' });
    }
  });

  it('a runner that dies in the middle leaves a job that is interrupted and can be undone', async () => {
    const image = loops.path('image');
    await makeManyProblems(image);
    const before = await sha256(image);
    const bytes = await plan({ device: image });
    const spec = fixture.spec({
      action: 'filesystem.repair',
      mode: 'apply',
      parameters: { device: image },
      plan: bytes,
    });
    const job = await agent.start(spec, {});
    const [tool] = await seen(() => programsWith('e2fsck', '-fy', image));
    const runner = await parentOf(tool!);
    process.kill(runner, 'SIGKILL');
    expect(await ended(job)).toMatchObject({ outcome: 'interrupted', reason: 'runner_died' });
    const undone = await run('filesystem.repair', 'undo', { device: image }, { undoes: job.id });
    expect(undone.end, (await output(undone.job, 'note')).toString()).toMatchObject({
      outcome: 'succeeded',
    });
    expect(await sha256(image)).toBe(before);
  });

  async function seen(look: () => Promise<number[]>): Promise<number[]> {
    for (;;) {
      const found = await look();
      if (found.length > 0) return found;
    }
  }

  async function parentOf(pid: number): Promise<number> {
    const status = await readFile(join('/proc', String(pid), 'status'), 'utf8');
    return Number(/^PPid:\s+(\d+)/m.exec(status)![1]);
  }
});
