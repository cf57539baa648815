import { readFileSync, statSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import { itEach } from '../../../test/fixtures/matrix.ts';
import { FaultDisk } from '../../../test/lab/index.ts';
import { must, run } from '../../../test/harness/process.ts';
import { PLAN_FILE } from '../../jobs/control-messages.ts';
import type { Jobs } from '../../jobs/job.ts';
import type { JobSpec } from '../../jobs/job-spec.ts';
import { ended, JobsFixture, output } from '../../jobs/jobs-fixture.ts';

const HEAD_BYTES = 34 * 512;
const TIMEOUT = 300_000;

let disk: FaultDisk;
let fixture: JobsFixture;
let jobs: Jobs;
beforeEach(async () => {
  disk = await FaultDisk.copy('uefi');
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
}, TIMEOUT);
afterEach(async () => {
  await fixture.close();
  disk.close();
});

async function job(change: Partial<JobSpec>) {
  const started = await jobs.start(
    fixture.spec({
      action: 'bootloader.repair',
      target: { disk: disk.image },
      maxRuntimeSeconds: 600,
      parameters: {},
      ...change,
    }),
    {},
  );
  const { outcome, reason, result } = await ended(started);
  const said = (await output(started, 'note')).toString();
  return { job: started.id, outcome, reason, result: result as Record<string, JsonValue>, said };
}

async function plan() {
  const done = await job({ mode: 'plan' });
  expect(done, done.said).toMatchObject({ outcome: 'succeeded' });
  const bytes = readFileSync(`${fixture.directory(done.job)}/${PLAN_FILE}`);
  const { steps } = JSON.parse(bytes.toString()) as { steps: { id: string }[] };
  return { plan: bytes.toString('base64'), steps: steps.map(({ id }) => id) };
}

const head = () => disk.readBytes(0, HEAD_BYTES);
const verify = async () => (await run(['sgdisk', '--verify', disk.image])).stdout;

describe('a partition table of which only the copy at the end of the disk is left', () => {
  itEach<[what: string, offset: number, bytes: number]>(1, [
    ['all of it is gone', 0, HEAD_BYTES],
    ['its header is gone', 512, 512],
    ['a partition in it is garbled', 1024, 16],
  ])(
    'is written again where %s, and put back byte by byte',
    async (_, offset, bytes) => {
      const healthy = await head();
      await disk.writeBytes(offset, new Uint8Array(bytes));
      const damaged = await head();
      const planned = await plan();
      expect(planned.steps).toEqual(['partition-table']);
      expect((await head()).equals(damaged)).toBe(true);
      const done = await job({ plan: planned.plan });
      expect(done, done.said).toMatchObject({
        outcome: 'succeeded',
        result: { outcome: 'repaired' },
      });
      expect(await verify()).toContain('No problems found');
      // Boot code is no part of the table.
      expect((await head()).subarray(446).equals(healthy.subarray(446))).toBe(true);
      // The second plan is for what lies on the disk, where nothing is wrong.
      expect((await plan()).steps).toEqual([]);
      // As an undo leaves it that was killed half way.
      await disk.writeBytes(0, damaged.subarray(0, 1024));
      const undone = await job({ mode: 'undo', undoes: done.job });
      expect(undone, undone.said).toMatchObject({
        outcome: 'succeeded',
        result: { outcome: 'restored' },
      });
      expect((await head()).equals(damaged)).toBe(true);
    },
    TIMEOUT,
  );

  it(
    'is neither written from a copy that is damaged too, nor over what came after the plan',
    async () => {
      await disk.writeBytes(512, new Uint8Array(512));
      const { plan: bytes } = await plan();
      await disk.writeBytes(1024, Buffer.from('somebody else'));
      const before = await head();
      expect(await job({ plan: bytes })).toMatchObject({
        outcome: 'failed',
        reason: 'changed_since_plan',
      });
      expect((await head()).equals(before)).toBe(true);
      const { size } = statSync(disk.image);
      await disk.writeBytes(size - 512 + 40, new Uint8Array(4));
      const refused = await job({ mode: 'plan' });
      expect(refused.outcome).toBe('failed');
      expect((await head()).equals(before)).toBe(true);
    },
    TIMEOUT,
  );

  it(
    'is not written where it belongs to what an image was laid over, and a diagnosis names no repair',
    async () => {
      const image = `${disk.folder}/image.img`;
      await must(['truncate', '--size=64M', image]);
      await must(['sgdisk', '--new=1:2048:0', image]);
      const words = [`if=${image}`, `of=${disk.image}`, 'bs=1M', 'conv=notrunc', 'status=none'];
      await must(['dd', ...words]);
      await disk.writeBytes(512, new Uint8Array(512));
      const before = await head();
      const refused = await job({ mode: 'plan' });
      expect(refused).toMatchObject({ outcome: 'failed', reason: 'table_foreign' });
      expect(refused.said).toContain('Nothing is written: look with gdisk');
      const done = await job({ action: 'diagnostics.collect' });
      const findings = done.result['findings'] as { rule: string; suggestion: JsonValue }[];
      expect(findings.find(({ rule }) => rule === 'disk.gpt_main_bad')?.suggestion).toBeNull();
      expect((await head()).equals(before)).toBe(true);
    },
    TIMEOUT,
  );

  it(
    'is found by a diagnosis, which names the repair',
    async () => {
      await disk.writeBytes(0, new Uint8Array(HEAD_BYTES));
      const done = await job({ action: 'diagnostics.collect' });
      expect(done, done.said).toMatchObject({ outcome: 'succeeded' });
      const findings = done.result['findings'] as { rule: string; suggestion: JsonValue }[];
      expect(findings.find(({ rule }) => rule === 'disk.gpt_main_bad')?.suggestion).toEqual({
        action: 'bootloader.repair',
        parameters: {},
      });
    },
    TIMEOUT,
  );
});
