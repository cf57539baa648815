import type { JobProgress__Output } from '../../proto/wire.ts';
import { cleanLine } from '../agents/hostile-text.ts';
import type { Bus } from '../cluster/bus.ts';

/** The latest position of a job, in the action's own words. */
export interface Progress {
  phase: string;
  /** 0 to 100; null while it cannot be told. */
  percent: number | null;
  text: string;
}

const JOBS_MAX = 20_000;

/** Where running jobs are. Kept in memory only: the next message replaces it anyway. */
export class JobProgress {
  private readonly latest = new Map<string, Progress>();
  private readonly bus: Bus;

  constructor(bus: Bus) {
    this.bus = bus;
  }

  get(jobId: string): Progress | null {
    return this.latest.get(jobId) ?? null;
  }

  set(jobId: string, wire: JobProgress__Output): void {
    const percent = wire._percent === undefined ? null : (wire.percent ?? null);
    this.latest.delete(jobId);
    this.latest.set(jobId, {
      phase: cleanLine(wire.phase ?? '', 64),
      percent:
        percent === null || Number.isNaN(percent) ? null : Math.min(Math.max(percent, 0), 100),
      text: cleanLine(wire.text ?? '', 500),
    });
    if (this.latest.size > JOBS_MAX) this.latest.delete(this.latest.keys().next().value!);
    this.bus.publish('job', jobId);
  }

  forget(jobId: string): void {
    this.latest.delete(jobId);
  }
}
