import { afterEach, beforeEach } from 'vitest';
import { FaultDisk, type LayoutName } from '../../../../test/lab/index.ts';
import { BootJobs } from './boot-jobs.ts';

/** The first that needs a disk of the laboratory builds it. */
export const LIMIT_MS = 600_000;

/** Of each test its own, with a whole Debian on it. */
export let disk: FaultDisk;
export let jobs: BootJobs;

/** Gives every test of a file such a disk. */
export function useBootDisk(layout: LayoutName): void {
  beforeEach(() => takeBootDisk(layout), LIMIT_MS);
  afterEach(() => jobs.close());
}

/** Another one; whoever goes on with it has closed the jobs of the last. */
export async function takeBootDisk(layout: LayoutName): Promise<void> {
  disk = await FaultDisk.copy(layout);
  jobs = await BootJobs.on(disk);
}
