import type { Job } from './job.ts';

/** An ended job without its log: what it says of itself stays true, and none of its bytes can be read. */
export function releasedJob(job: Job): Job | null {
  const { ended } = job;
  if (ended === null) return null;
  return {
    id: job.id,
    directory: job.directory,
    ended,
    logLength: ended.log.bytes,
    progress: null,
    isReleased: true,
    records: (from) => job.records(from),
    readLog: () => Promise.resolve(Buffer.alloc(0)),
    readPlan: () => job.readPlan(),
    onChange: () => () => {},
    cancel: () => Promise.resolve(),
  };
}
