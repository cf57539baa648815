import { deviceOf } from '../named-volume.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../../runner/action.ts';
import { latestStamp, runE2fsck, type E2fsckRun } from './e2fsck.ts';
import { examineFilesystem, type ExtFilesystem } from './filesystem-examination.ts';
import { filesystemResult } from '../filesystem-result.ts';
import { blemishes, lookFirst, unfinished } from './first-look.ts';
import { judge, judgeLook, type Verdict } from './verdict.ts';
import { copyFaithfully, removeCopy } from './working-copy.ts';

interface Sight {
  filesystem: ExtFilesystem;
  run: E2fsckRun;
  verdict: Verdict;
  where: string;
}

/**
 * Looks for errors and changes nothing. The job succeeds when it could look: `clean` and `errors_left` are
 * both answers, told apart by the outcome. It fails when it could not.
 */
export async function checkFilesystem(context: ActionContext): Promise<ActionResult> {
  const device = deviceOf(context);
  const examined = await examineFilesystem(context, device);
  const { filesystem, run, verdict, where } = await look(context, examined);
  const marks = blemishes(filesystem);
  const outcome = verdict.outcome === 'clean' && marks.length > 0 ? 'errors_left' : verdict.outcome;
  const said = [verdict.detail, where, ...marks, ...unfinished(filesystem)].filter(
    (text) => text !== '',
  );
  for (const text of said) context.note(outcome === 'clean' ? text : `Finding: ${text}`);
  const result = filesystemResult({
    outcome,
    device,
    filesystem: filesystem.superblock.type,
    uuid: filesystem.superblock.uuid,
    run,
    blemishes: marks,
    exitStatus: run.exitStatus,
    detail: said.join(' '),
  });
  const couldLook = outcome === 'clean' || outcome === 'errors_left';
  return {
    succeeded: couldLook,
    reason: couldLook ? null : verdict.reason,
    exitStatus: null,
    result,
  };
}

async function look(context: ActionContext, examined: ExtFilesystem): Promise<Sight> {
  if (examined.superblock.needsRecovery) return lookAtReplayedCopy(context, examined);
  return { ...(await lookFirst(context, examined, true)), where: '' };
}

/**
 * Without the journal's changes e2fsck sees a state that never was, and it does not replay a journal when it
 * may not write. So the journal is replayed in a copy of the metadata, and the copy is looked at.
 */
async function lookAtReplayedCopy(context: ActionContext, examined: ExtFilesystem): Promise<Sight> {
  context.note('The journal holds changes not written yet: a copy is checked in which they are.');
  const first = await lookFirst(context, examined, false);
  const { filesystem } = first;
  if (['tool_too_old', 'hardware_failing', 'device_in_use'].includes(first.verdict.reason ?? '')) {
    return { ...first, where: '' };
  }
  const copy = await copyFaithfully(context, filesystem, first.run).catch((error: unknown) => {
    if (error instanceof ActionError && error.reason === 'hardware_failing') return error;
    throw error;
  });
  if (copy instanceof ActionError) {
    const { reason, message } = copy;
    return {
      ...first,
      verdict: { outcome: 'operational_error', reason, detail: message },
      where: '',
    };
  }
  const where = 'Checked in a copy after its journal was replayed; the device is unchanged.';
  const run = (mode: 'replay' | 'look') =>
    runE2fsck(context, {
      device: copy.name,
      directory: copy.folder,
      mode,
      superblock: filesystem.backup,
      now: latestStamp(filesystem.superblock),
      isLogged: true,
      phase: mode === 'replay' ? 'replaying the journal' : 'checking',
      signal: context.signal,
    });
  try {
    const replay = await run('replay');
    const verdict = judge(replay);
    const isReplayed = verdict.outcome === 'clean' && replay.transcript.problemCount === 0;
    if (!isReplayed) return { filesystem, run: replay, verdict: unreplayed(verdict), where };
    const second = await run('look');
    return { filesystem, run: second, verdict: judgeLook(second), where };
  } finally {
    await removeCopy(copy);
  }
}

/** Where the journal itself is broken, e2fsck has gone on to correct the copy: on the device errors are left. */
function unreplayed(verdict: Verdict): Verdict {
  if (verdict.outcome === 'tool_too_old' || verdict.outcome === 'operational_error') return verdict;
  const detail = 'The journal cannot be replayed.';
  return { outcome: 'errors_left', reason: 'errors_left', detail };
}
