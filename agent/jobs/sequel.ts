import { GuardFolder } from '../guard/guard-folder.ts';
import { isGuarded } from '../guard/guarded-spec.ts';
import type { EndedRecord } from './journal-record.ts';
import type { JobSpec } from './job-spec.ts';

/** The end of a job that went on without its runner. */
export interface Sequel extends Pick<EndedRecord, 'outcome' | 'reason'> {
  /** Last line of the log. */
  note: string;
  /** Whether what the job changed is still there, to be undone. */
  isStanding: boolean;
}

/** What became of a job after its runner had died; null for one that was merely cut off. */
export function sequelOf(spec: JobSpec, jobDirectory: string): Sequel | null {
  if (!isGuarded(spec)) return null;
  const end = new GuardFolder(jobDirectory).end;
  if (end === null) return null;
  if (end.decision === 'kept') {
    const note = 'The runner died after the change was confirmed: it stays.';
    return { outcome: 'succeeded', reason: null, note, isStanding: true };
  }
  return end.areFilesBack
    ? {
        outcome: 'failed',
        reason: 'rolled_back',
        note: 'The runner died before the change was confirmed; its guardian has put everything back.',
        isStanding: false,
      }
    : {
        outcome: 'failed',
        reason: 'rollback_incomplete',
        note: 'The runner died before the change was confirmed; its guardian could not put every file back.',
        isStanding: true,
      };
}
