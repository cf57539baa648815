import type { CommandResult } from '../../../process/command.ts';
import { cleanSight, failedSight, saysInputOutputError, type Sight } from '../sight.ts';
import { hasPendingLog, xfsProblems } from './xfs-repair-words.ts';

/**
 * What `xfs_repair -n` came to. 1 is damage, or a log that was not replayed, or that the tool gave up: its
 * words tell which (xfs_repair(8)). While the log is pending whatever else it finds may not be true.
 */
export function judgeXfs(done: CommandResult, uuid: string | null): Sight {
  if (done.exitStatus === 0) return cleanSight(uuid, 0);
  const words = `${done.out}\n${done.err}`;
  if (saysInputOutputError(done)) return failedSight('xfs_repair', done, uuid);
  if (/unsupported filesystem features|unknown .*features|more recent xfs/i.test(words)) {
    const detail = 'The file system has features that this xfs_repair does not know.';
    const failed = failedSight('xfs_repair', done, uuid);
    return { ...failed, outcome: 'tool_too_old', reason: 'tool_too_old', detail };
  }
  if (hasPendingLog(done)) {
    return {
      outcome: 'journal_pending',
      reason: 'journal_pending',
      detail:
        'It was not unmounted: its log holds changes that are not at their places yet. Whether there is damage shows only when they are.',
      uuid,
      exitStatus: done.exitStatus,
      problems: ['The log holds changes that are not at their places yet.'],
      fault: {
        rule: 'fs.journal_pending',
        severity: 'warning',
        byHand: 'Mount it once and unmount it; never xfs_repair -L, which throws the changes away.',
        isRepairable: true,
      },
    };
  }
  if (done.exitStatus !== 1) return failedSight('xfs_repair', done, uuid);
  return {
    outcome: 'errors_left',
    reason: 'errors_left',
    detail: 'xfs_repair finds errors.',
    uuid,
    exitStatus: 1,
    problems: xfsProblems(done),
    fault: {
      rule: 'fs.xfs_damage',
      severity: 'critical',
      byHand: 'xfs_repair, after xfs_metadump; never with -L before everything else was tried.',
      isRepairable: true,
    },
  };
}
