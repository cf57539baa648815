import { createHash } from 'node:crypto';
import type { Job } from './jobs/job.ts';
import type { EndedRecord } from './jobs/journal-record.ts';

const EMPTY_DIGEST = `sha256:${createHash('sha256').digest('hex')}`;

/**
 * A job whose order was used up but which has no folder: the agent died in between, or the folder could
 * not be made, or it was cancelled (`requested`) before. It never starts; this is its end.
 */
export function createLostJob(
  id: string,
  at: number,
  reason: 'not_started' | 'requested' = 'not_started',
): Job {
  const ended: EndedRecord = {
    type: 'ended',
    at,
    outcome: reason === 'requested' ? 'cancelled' : 'interrupted',
    reason,
    exitStatus: null,
    result: null,
    log: { bytes: 0, lines: 0, digest: EMPTY_DIGEST, gaps: [] },
  };
  return {
    id,
    directory: '',
    ended,
    logLength: 0,
    progress: null,
    records: () => [],
    readLog: () => Promise.resolve(Buffer.alloc(0)),
    readPlan: () => Promise.resolve(null),
    onChange: () => () => {},
    cancel: () => Promise.resolve(),
  };
}
