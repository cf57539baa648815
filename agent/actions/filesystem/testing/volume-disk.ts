import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { copyFile, mkdtemp, open, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { FilesystemResult } from '../../../../proto/actions/filesystem.ts';
import type { JsonValue } from '../../../../proto/documents/fields.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { PLAN_FILE } from '../../../jobs/control-messages.ts';
import { ended, JobsFixture, output } from '../../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import type { Job, Jobs } from '../../../jobs/job.ts';
import { makeDiskImage, withMountedPartition } from '../../../target/testing/disk-image.ts';

const MIB = 1024 * 1024;
/** Where the only partition of the disk begins. */
const START = MIB;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** mkfs.xfs(8) takes disks under 300 MiB only from its own tests, which say so by these. */
const SMALL_XFS = ['TEST_DIR=1', 'TEST_DEV=1', 'QA_CHECK_FS=1'];
/** About the smallest that each program takes; XFS with two groups. */
const FORMATS = {
  xfs: { mebibytes: 48, argv: ['env', ...SMALL_XFS, 'mkfs.xfs', '-q', '-f'] },
  btrfs: { mebibytes: 110, argv: ['mkfs.btrfs', '-q', '-f'] },
  fat: { mebibytes: 64, argv: ['mkfs.fat', '-F', '32', '-s', '1'] },
  ntfs: { mebibytes: 8, argv: ['mkntfs', '--fast', '--force', '--quiet'] },
  ext4: { mebibytes: 16, argv: ['mke2fs', '-q', '-F', '-t', 'ext4'] },
} as const;

export interface JobEnd {
  id: string;
  outcome: string;
  reason: string | null;
  said: string;
  result: FilesystemResult | null;
}

/** A disk with one partition, and an agent that works on it, its runners in their sandboxes. */
export class VolumeDisk {
  readonly folder: string;
  readonly fixture: JobsFixture;
  readonly mebibytes: number;
  image: string;
  private readonly jobs: Jobs;

  private constructor(folder: string, fixture: JobsFixture, mebibytes: number) {
    this.folder = folder;
    this.fixture = fixture;
    this.mebibytes = mebibytes;
    this.image = join(folder, 'disk.img');
    this.jobs = fixture.agent();
  }

  /** `options` for the program that makes it. */
  static async create(
    format: keyof typeof FORMATS,
    options: readonly string[] = [],
  ): Promise<VolumeDisk> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'ivv-')));
    const { mebibytes, argv } = FORMATS[format];
    const disk = new VolumeDisk(folder, await JobsFixture.create(), mebibytes);
    await disk.jobs.load();
    await makeDiskImage(disk.image, 'gpt', [{ mebibytes }]);
    disk.onPartition((device) => [...argv, ...options, device]);
    return disk;
  }

  /** With files in folders, as a client has them. */
  async fill(): Promise<this> {
    await this.mounted((point) => {
      for (let n = 0; n < 60; n++) {
        const place = join(point, 'shop', `day-${n % 6}`);
        mkdirSync(place, { recursive: true });
        writeFileSync(join(place, `order-${n}`), `order ${n}\n`.repeat(40));
      }
    });
    return this;
  }

  /** A disk of its own with the same bytes, for a test that changes them. */
  async copy(): Promise<VolumeDisk> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'ivv-')));
    const disk = new VolumeDisk(folder, await JobsFixture.create(), this.mebibytes);
    await disk.jobs.load();
    execFileSync('cp', ['--sparse=always', this.image, disk.image], { env: { PATH } });
    return disk;
  }

  async close(): Promise<void> {
    await this.fixture.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  get bytes(): number {
    return this.mebibytes * MIB;
  }

  async digest(): Promise<string> {
    return createHash('sha256')
      .update(await readFile(this.image))
      .digest('hex');
  }

  /** Of the partition. */
  async read(offset: number, bytes: number): Promise<Buffer> {
    await using file = await open(this.image);
    const buffer = Buffer.alloc(bytes);
    await file.read(buffer, 0, bytes, START + offset);
    return buffer;
  }

  async overwrite(offset: number, bytes: Uint8Array): Promise<void> {
    await using file = await open(this.image, 'r+');
    await file.write(bytes, 0, bytes.length, START + offset);
  }

  /** For programs that know no partitions; returns what they printed, also where they fail with `statuses`. */
  onPartition(
    argv: (device: string) => readonly string[],
    statuses: readonly number[] = [0],
  ): string {
    const words = ['--offset', String(START), '--sizelimit', String(this.bytes), this.image];
    const options = { encoding: 'utf8', env: { PATH } } as const;
    const loop = execFileSync('losetup', ['--find', '--show', ...words], options).trim();
    try {
      const [program, ...rest] = argv(loop);
      return execFileSync(program!, rest, { ...options, stdio: ['ignore', 'pipe', 'ignore'] });
    } catch (error) {
      const { status, stdout } = error as { status: number; stdout: string };
      if (!statuses.includes(status)) throw error;
      return stdout;
    } finally {
      execFileSync('losetup', ['--detach', loop], { env: { PATH } });
    }
  }

  async mounted<T>(body: (point: string) => T | Promise<T>): Promise<T> {
    const window = { offset: START, bytes: this.bytes };
    return withMountedPartition(this.image, window, async (point) => body(point));
  }

  /** What a power cut leaves: the bytes of the disk while the file system is in use. */
  async cutPower(use?: (point: string) => void): Promise<void> {
    const cut = join(this.folder, 'cut.img');
    await this.mounted((point) => {
      for (let n = 0; n < 40; n++) writeFileSync(join(point, `new-${n}`), `order ${n}\n`);
      execFileSync('sync', ['--file-system', point], { env: { PATH } });
      execFileSync('rm', [join(point, 'new-3')], { env: { PATH } });
      execFileSync('sync', [join(point, 'new-4')], { env: { PATH } });
      use?.(point);
      copyFileSync(this.image, cut);
    });
    await copyFile(cut, this.image);
    await rm(cut);
  }

  async start(change: Partial<JobSpec>): Promise<Job> {
    const spec = {
      action: 'filesystem.repair',
      target: { disk: this.image },
      parameters: { partition: 1 },
      maxRuntimeSeconds: 300,
      ...change,
    };
    return this.jobs.start(this.fixture.spec(spec), {});
  }

  async finish(job: Job): Promise<JobEnd> {
    const { outcome, reason, result } = await ended(job);
    const said = (await output(job, 'note')).toString();
    return { id: job.id, outcome, reason, said, result: result as FilesystemResult | null };
  }

  async order(change: Partial<JobSpec>): Promise<JobEnd> {
    return this.finish(await this.start(change));
  }

  /** `bytes` for the order that applies it; null for both where there is no plan. */
  async plan(
    parameters: Record<string, JsonValue> = { partition: 1 },
  ): Promise<JobEnd & { bytes: string | null; plan: Plan | null }> {
    const job = await this.order({ mode: 'plan', parameters });
    if (job.outcome !== 'succeeded') return { ...job, bytes: null, plan: null };
    const bytes = await readFile(join(this.fixture.directory(job.id), PLAN_FILE));
    const plan = JSON.parse(bytes.toString('utf8')) as Plan;
    return { ...job, bytes: bytes.toString('base64'), plan };
  }

  async check(): Promise<JobEnd> {
    return this.order({ action: 'filesystem.check' });
  }

  /**
   * Broken, planned without a change, repaired, found clean, nothing more to do, and put back to the same
   * bytes. Returns the plan and what the job said.
   */
  async expectRepairedAndPutBack(
    seen: FilesystemResult['outcome'] = 'errors_left',
    parameters: Record<string, JsonValue> = { partition: 1 },
  ): Promise<{ plan: Plan; done: JobEnd }> {
    const broken = await this.digest();
    const checked = await this.check();
    expect([checked.outcome, checked.result?.outcome], checked.said).toEqual(['succeeded', seen]);
    const planned = await this.plan(parameters);
    expect(
      planned.plan?.steps.map(({ id }) => id),
      planned.said,
    ).toEqual(['save', 'repair', 'verify']);
    expect(await this.digest()).toBe(broken);
    const done = await this.order({ plan: planned.bytes, parameters });
    expect([done.outcome, done.result?.outcome], done.said).toEqual(['succeeded', 'corrected']);
    const after = await this.check();
    expect(after.result?.outcome, after.said).toBe('clean');
    const again = await this.plan();
    expect(again.plan?.steps, again.said).toEqual([]);
    const undone = await this.order({ mode: 'undo', undoes: done.id, parameters });
    expect([undone.reason, undone.result?.outcome], undone.said).toEqual([null, 'restored']);
    expect(await this.digest()).toBe(broken);
    return { plan: planned.plan!, done };
  }
}
