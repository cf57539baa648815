import type { FilesystemOutcome } from '../../../../proto/actions/filesystem.ts';
import type { E2fsckRun } from './e2fsck.ts';

/** What a run of e2fsck comes to. `reason` is null for `clean` and `corrected`. */
export interface Verdict {
  outcome: FilesystemOutcome;
  reason: string | null;
  detail: string;
}

/** Bits of e2fsck's exit status, see e2fsck(8). */
export const exitBits = {
  corrected: 1,
  reboot: 2,
  errorsLeft: 4,
  operational: 8,
  usage: 16,
  cancelled: 32,
  library: 128,
} as const;

const NOT_DONE = exitBits.operational | exitBits.usage | exitBits.cancelled | exitBits.library;

/** Judges a run by its exit status, and where that says only "failed", by the tool's words. */
export function judge(run: E2fsckRun): Verdict {
  const { exitStatus, signal, transcript } = run;
  const said = transcript.errors.length === 0 ? '' : ` It said: ${transcript.errors.join(' / ')}`;
  const failed = (reason: string, detail: string): Verdict => ({
    outcome: 'operational_error',
    reason,
    detail: detail.slice(0, 1500),
  });
  if (transcript.hasInputOutputError) {
    return failed('hardware_failing', 'The disk reports input/output errors.');
  }
  if (exitStatus === null) return failed('tool_failed', `e2fsck was ended by ${signal}.${said}`);
  if ((exitStatus & NOT_DONE) !== 0) {
    if (transcript.isTooOld) {
      const detail = 'The file system has features that this e2fsck does not know.';
      return { outcome: 'tool_too_old', reason: 'tool_too_old', detail };
    }
    if (transcript.isOutOfSpace) {
      return failed('no_space', 'There was no room for what e2fsck saves before it writes.');
    }
    if (transcript.isBusy) return failed('device_in_use', `The file system is in use.${said}`);
    return failed(
      'tool_failed',
      `e2fsck could not do its work (exit status ${exitStatus}).${said}`,
    );
  }
  if ((exitStatus & exitBits.errorsLeft) !== 0) {
    return { outcome: 'errors_left', reason: 'errors_left', detail: 'e2fsck found errors.' };
  }
  if ((exitStatus & (exitBits.corrected | exitBits.reboot)) !== 0) {
    return { outcome: 'corrected', reason: null, detail: 'e2fsck corrected the file system.' };
  }
  return { outcome: 'clean', reason: null, detail: 'e2fsck found no errors.' };
}

/**
 * Judges a run that only looked. Damage can keep e2fsck from looking on, and it then exits as if it had
 * failed; that there are errors is certain all the same.
 */
export function judgeLook(run: E2fsckRun): Verdict {
  const verdict = judge(run);
  const { errors, problemCount } = run.transcript;
  const gaveUp = run.exitStatus === (exitBits.errorsLeft | exitBits.operational);
  if (verdict.reason !== 'tool_failed' || !gaveUp || problemCount === 0) return verdict;
  const detail = `e2fsck found errors and could not look on because of them: ${errors.join(' / ')}.`;
  return { outcome: 'errors_left', reason: 'errors_left', detail: detail.slice(0, 1500) };
}
