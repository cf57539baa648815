import { GuardFolder } from '../guard/guard-folder.ts';
import { isGuarded } from '../guard/guarded-spec.ts';
import { bootId, readGoingDown } from './going-down.ts';
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
  if (isReboot(spec)) return rebootSequel(jobDirectory);
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

function isReboot({ action, mode, target }: JobSpec): boolean {
  return action === 'system.reboot' && mode === 'apply' && target === null;
}

/** Null while the system is in the same boot: the job was cut off before it went down, or went down with it. */
function rebootSequel(jobDirectory: string): Sequel | null {
  const said = readGoingDown(jobDirectory);
  if (said === null || said.boot === bootId()) return null;
  const seconds = Math.max(0, Math.round((Date.now() - said.at) / 1000));
  return {
    outcome: 'succeeded',
    reason: null,
    note: `The server has booted again; its agent is back ${seconds} s after it went down.`,
    isStanding: false,
  };
}
