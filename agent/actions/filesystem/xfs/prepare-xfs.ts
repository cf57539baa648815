import { join } from 'node:path';
import { ActionError } from '../../../runner/action.ts';
import type { ByteRange } from '../byte-ranges.ts';
import { digestRanges } from '../device-digest.ts';
import type { Patch } from '../patch/patch.ts';
import type { Cure, Work } from '../patch/patched-kind.ts';
import type { Sight } from '../sight.ts';
import {
  copyXfsMetadata,
  copyXfsWhole,
  lookAtXfsCopy,
  XFS_COPY,
  type XfsCopy,
} from './xfs-copy.ts';
import { xfsProblems } from './xfs-repair-words.ts';
import { findXfsSuperblock, type XfsSuperblock } from './xfs-superblock.ts';

const HEAD_BYTES = 4096;

/** What is to be done with the log before the tool can work. */
type Log = 'clean' | 'replay' | 'discard';

/**
 * Repairs a copy: of the metadata, or of everything where that does not show what the device shows or the
 * log is to be replayed, for which the kernel reads what no dump has. Where there is no room for a copy the
 * device itself is worked on, and cannot be put back.
 */
export async function prepareXfs(work: Work, sight: Sight): Promise<Cure> {
  const { volume, device, handle } = work;
  const found = await findXfsSuperblock(handle, device.bytes);
  if (found === null) {
    throw new ActionError('no_filesystem', `no superblock of XFS is left on ${volume.name}`);
  }
  const { superblock } = found;
  requireWhole(superblock);
  const log = logOf(work, sight);
  if (log === 'discard') await refuseNeedlessLoss(work, sight, superblock);
  try {
    if (log !== 'replay') {
      const copy = await copyXfsMetadata(work, superblock, sight);
      const cure = copy === null ? null : await cureOf(work, superblock, log, copy);
      if (cure !== null) return cure;
      volume.context.note('A copy of the metadata alone does not show what the device shows.');
    }
    return (await cureOf(work, superblock, log, await copyXfsWhole(work, superblock.usedBytes)))!;
  } catch (error) {
    if (!(error instanceof ActionError && error.reason === 'no_scratch_space')) throw error;
    return cureDirectly(work, sight, superblock, log, error.message);
  }
}

function requireWhole({ log, hasRealtimeDevice }: XfsSuperblock): void {
  if (log === 'external') {
    throw new ActionError('journal_elsewhere', 'the log of this file system is on another disk');
  }
  if (hasRealtimeDevice) {
    throw new ActionError(
      'filesystem_not_supported',
      'a part of this file system is on another disk (realtime device)',
    );
  }
}

function logOf({ volume }: Work, { outcome }: Sight): Log {
  const isDiscarded = volume.context.spec.parameters['discardLog'] === true;
  if (isDiscarded) return 'discard';
  if (outcome !== 'journal_pending') return 'clean';
  if (volume.mounting !== null) return 'replay';
  throw new ActionError(
    'no_disk',
    'its log is replayed by mounting it, which needs the whole disk: --disk, and partition or volume',
  );
}

/** A log that can be replayed is not thrown away, whatever was ordered. */
async function refuseNeedlessLoss(
  work: Work,
  { outcome }: Sight,
  superblock: XfsSuperblock,
): Promise<void> {
  if (outcome !== 'journal_pending' || work.volume.mounting === null) return;
  const copy = await copyXfsWhole(work, superblock.usedBytes).catch((error: unknown) => {
    if (error instanceof ActionError && error.reason === 'no_scratch_space') return null;
    throw error;
  });
  if (copy === null) return;
  try {
    await replayCopy(work, copy);
  } catch (error) {
    if (error instanceof ActionError && error.reason === 'log_not_replayable') return;
    throw error;
  } finally {
    await copy[Symbol.asyncDispose]();
  }
  throw new ActionError(
    'log_replayable',
    'the log can be replayed, as a try on a copy has shown, and nothing needs to be lost: plan without discardLog',
  );
}

/** Null when what the tool did to the copy cannot be carried over. Disposes of the copy then, and on errors. */
async function cureOf(
  work: Work,
  superblock: XfsSuperblock,
  log: Log,
  copy: XfsCopy,
): Promise<Cure | null> {
  try {
    if (log === 'replay') await replayCopy(work, copy);
    const seen = log === 'replay' ? await lookAtXfsCopy(work.volume.context, copy.folder) : null;
    const isReplayedOnly = seen?.outcome === 'clean';
    const problems = isReplayedOnly ? [] : await repairCopy(work, log, copy);
    const after = await lookAtXfsCopy(work.volume.context, copy.folder);
    const patch = await copy.changes();
    if (patch !== null) {
      const commands = [
        ...(log === 'replay' ? [['mount', '-t', 'xfs', '-o', 'loop', XFS_COPY, 'replay']] : []),
        ...(isReplayedOnly ? [] : [repairCommand(log, XFS_COPY)]),
      ];
      return {
        summary: summaryOf(log, isReplayedOnly),
        findings: findingsOf(log, isReplayedOnly, copy.kind, problems),
        precondition: {
          what:
            copy.kind === 'metadata'
              ? 'the metadata of the file system, as xfs_metadump saves it'
              : 'all bytes of the file system',
          digest: copy.digest,
        },
        commands,
        endsClean: after.outcome === 'clean',
        means: patchMeans(patch, superblock, log, copy),
        [Symbol.asyncDispose]: () => copy[Symbol.asyncDispose](),
      };
    }
  } catch (error) {
    await copy[Symbol.asyncDispose]();
    throw error;
  }
  await copy[Symbol.asyncDispose]();
  return null;
}

function patchMeans(patch: Patch, superblock: XfsSuperblock, log: Log, copy: XfsCopy) {
  return {
    type: 'patch' as const,
    patch,
    // What the kernel writes to the log has numbers that are drawn anew each time.
    varying: log === 'replay' ? (superblock.log as ByteRange) : null,
    watched: watchedOf(superblock),
    keepsake: copy.keepsake,
  };
}

/** The kernel replays the log, in the job's own mount namespace. */
async function replayCopy({ volume }: Work, copy: XfsCopy): Promise<void> {
  const { mounts, place } = volume.mounting!;
  const point = join(place, 'replay');
  try {
    const options = { write: true, options: ['loop'] };
    await mounts.mount(join(copy.folder, XFS_COPY), 'xfs', point, options);
  } catch (error) {
    if (!(error instanceof ActionError)) throw error;
    throw notReplayable(error.message);
  }
  await mounts.unmount(point);
}

function notReplayable(why: string): ActionError {
  return new ActionError(
    'log_not_replayable',
    `the log cannot be replayed, as a try on a copy has shown: ${why}. The parameter discardLog=true ` +
      'would throw it away, and with it the last changes before the crash: the client has to agree',
  );
}

async function repairCopy({ volume: { context } }: Work, log: Log, copy: XfsCopy) {
  const done = await context.run(repairCommand(log, XFS_COPY), {
    directory: copy.folder,
    output: 'capture',
    signal: context.signal,
  });
  const problems = xfsProblems(done);
  if (done.exitStatus === 0) return problems;
  const said = problems.join(' / ').slice(0, 1000);
  // 2: the log holds changes, or its ends cannot be found (xfs_repair(8)).
  if (done.exitStatus === 2) throw notReplayable(said);
  throw new ActionError('tool_failed', `xfs_repair cannot repair a copy: ${said}`);
}

function repairCommand(log: Log, path: string): string[] {
  return ['xfs_repair', ...(log === 'discard' ? ['-L'] : []), path];
}

function summaryOf(log: Log, isReplayedOnly: boolean): string {
  if (log === 'discard') return 'Throw the log away and repair the file system';
  if (log === 'clean') return 'Repair the file system';
  return isReplayedOnly
    ? 'Write out the journal'
    : 'Write out the journal and repair the file system';
}

const DISCARDS =
  'The log is thrown away: the last changes before the crash are lost, and files may be damaged by that.';

function findingsOf(
  log: Log,
  isReplayedOnly: boolean,
  kind: XfsCopy['kind'],
  problems: readonly string[],
): string[] {
  return [
    ...(log === 'discard' ? [DISCARDS] : []),
    ...(isReplayedOnly ? ['With the log written out there is no damage.'] : []),
    kind === 'metadata'
      ? 'Rehearsed on a copy of the metadata, in which xfs_repair sees what it sees on the device.'
      : 'Rehearsed on a copy of the whole file system.',
    ...problems.map((line) => `xfs_repair: ${line}`),
  ];
}

/** Whoever mounts it for writing changes these. */
function watchedOf({ log }: XfsSuperblock): ByteRange[] {
  return log === 'external' ? [[0, HEAD_BYTES]] : [[0, HEAD_BYTES], log];
}

async function cureDirectly(
  { volume, device, handle }: Work,
  sight: Sight,
  superblock: XfsSuperblock,
  log: Log,
  why: string,
): Promise<Cure> {
  const { context, mounting } = volume;
  const place = mounting?.place ?? '';
  const command =
    log === 'replay'
      ? ['mount', '-t', 'xfs', device.path, join(place, 'replay')]
      : repairCommand(log, device.path);
  return {
    summary: summaryOf(log, true),
    findings: [
      `It cannot be rehearsed, and it cannot be undone: ${why}.`,
      ...(log === 'discard' ? [DISCARDS] : []),
      ...(log === 'clean' ? sight.problems.map((line) => `xfs_repair: ${line}`) : []),
    ],
    precondition: {
      what: 'the first superblock and the log',
      digest: await digestRanges(context, handle, watchedOf(superblock)),
    },
    commands: [command],
    endsClean: null,
    means: {
      type: 'direct',
      async run() {
        if (log === 'replay') {
          await mounting!.mounts.mount(device.path, 'xfs', join(place, 'replay'), { write: true });
          await mounting!.mounts.unmount(join(place, 'replay'));
          return;
        }
        const done = await context.run(command, { output: 'log' });
        if (done.exitStatus === 0) return;
        context.note(`xfs_repair ended with exit status ${String(done.exitStatus)}.`);
      },
    },
    async [Symbol.asyncDispose]() {},
  };
}
