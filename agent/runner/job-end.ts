import { JournalUnwritableError } from '../jobs/journal-writer.ts';
import type { EndedRecord } from '../jobs/journal-record.ts';
import { CommandStartError } from '../process/command-start-error.ts';
import { ActionError, RollbackFailedError, type ActionResult } from './action.ts';
import type { Stop } from './stop-control.ts';

export interface JobEnd extends Pick<EndedRecord, 'outcome' | 'reason' | 'exitStatus' | 'result'> {
  /** Last line of the log; null when there is nothing to add. */
  note: string | null;
}

const REASON_MAX_CHARACTERS = 64;
const DETAIL_MAX_CHARACTERS = 2000;
/** A quarter of what a record of the journal may hold. */
const RESULT_MAX_CHARACTERS = 256 * 1024;

/**
 * How a job ended: by what its action returned or threw, unless a stop kept something from being done. A
 * stop that came too late to change anything changes nothing. A step that was to put back what it did and could
 * not makes the job `failed`, also when it was told to stop: `cancelled` would hide that.
 */
export function endOf(result: ActionResult | null, error: unknown, stop: Stop | null): JobEnd {
  const exitStatus = result?.exitStatus ?? null;
  const value = result?.result ?? null;
  if (JSON.stringify(value).length > RESULT_MAX_CHARACTERS) {
    const tooLarge = new ActionError('result_too_large', 'the result is too large to be kept');
    return endOf(null, tooLarge, stop);
  }
  if (error instanceof RollbackFailedError) {
    const { reason, message, step } = error;
    const left = { lastStep: step, undoOffered: true };
    return { outcome: 'failed', reason, exitStatus, result: left, note: message };
  }
  if (stop !== null) {
    const note = `Stopped: ${stop.why}.`;
    const reason = shorten(stop.why);
    return { outcome: stop.cause, reason, exitStatus, result: value, note };
  }
  if (result !== null) {
    const outcome = result.succeeded ? 'succeeded' : 'failed';
    const reason = result.reason === null ? null : shorten(result.reason);
    return { outcome, reason, exitStatus, result: value, note: null };
  }
  const note = error instanceof Error ? error.message : String(error);
  // The card of the job and a script read the result, not the log.
  const cause = { detail: note.slice(0, DETAIL_MAX_CHARACTERS) };
  return { outcome: 'failed', reason: shorten(reasonOf(error)), exitStatus, result: cause, note };
}

function reasonOf(error: unknown): string {
  if (error instanceof ActionError) return error.reason;
  if (error instanceof CommandStartError) return `command_${error.failure}`;
  if (error instanceof JournalUnwritableError) return 'journal_unwritable';
  return 'action_error';
}

function shorten(reason: string): string {
  return reason.slice(0, REASON_MAX_CHARACTERS);
}
