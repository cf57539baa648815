import { ActionError } from '../../../runner/action.ts';
import type { CommandResult } from '../../../process/command.ts';
import type { BlockDevice } from '../../../target/block-device.ts';
import { digestRanges } from '../device-digest.ts';
import { openDevice } from '../device-io.ts';
import { patchOf } from '../patch/patch.ts';
import type { Cure, PatchedKind, Work } from '../patch/patched-kind.ts';
import {
  cleanSight,
  failedSight,
  problemLines,
  saysInputOutputError,
  type Look,
  type Sight,
} from '../sight.ts';
import {
  BTRFS_SUPERBLOCK_BYTES,
  movedTo,
  readBtrfsPlaces,
  withoutLog,
  type BtrfsPlace,
} from './btrfs-superblock.ts';

/**
 * A superblock is written anew from its copies, and a log that cannot be read is taken out of it. Everything
 * else is left to specialists: `btrfs check --repair` may do more harm than good (btrfs-check(8)).
 */
export const btrfs: PatchedKind = { look: lookAtBtrfs, prepare: prepareBtrfs };

/** Lines of btrfs-check(8) that say nothing of a problem. */
const FRAME = [
  /^Opening filesystem to check/,
  /^Checking filesystem on /,
  /^UUID: /,
  /^\[\d\/\d\] /,
  /^found \d+ bytes used, no error found/,
  /^(?:total|btree|file|data|referenced) /,
  /^using SB copy \d/,
  /^ERROR: cannot open file system$/,
];
const LOG_LOST = /^Couldn't setup log root tree$/m;

const SPECIALIST = {
  rule: 'fs.btrfs_damage',
  severity: 'critical',
  byHand:
    'Mount it read-only (rescue=all) and save the data; never btrfs check --repair unasked: a specialist decides.',
  isRepairable: false,
} as const;

async function lookAtBtrfs(look: Look, device: BlockDevice): Promise<Sight> {
  const places = await readPlaces(device);
  const first = places[0];
  const good = newestGood(places);
  if (first === undefined || good === null) {
    const detail = 'No sound superblock is left.';
    return lost('needs_specialist', detail, null, null, []);
  }
  const uuid = good.superblock!.uuid;
  const isFirstGood = first.superblock !== null;
  const words = ['btrfs', 'check', '--readonly'];
  const source = isFirstGood ? [] : ['-s', String(good.copy)];
  const done = await look([...words, ...source, device.path]);
  if (saysInputOutputError(done)) return failedSight('btrfs check', done, uuid);
  if (/unsupported|unknown incompat/i.test(done.err)) {
    const detail = 'The file system has features that this btrfs does not know.';
    const failed = failedSight('btrfs check', done, uuid);
    return { ...failed, outcome: 'tool_too_old', reason: 'tool_too_old', detail };
  }
  if (/busy|is currently mounted/i.test(done.err)) return failedSight('btrfs check', done, uuid);
  if (done.exitStatus === 0) {
    return isFirstGood ? cleanSight(uuid, 0) : superblockLost(good, uuid);
  }
  return judgeDamage(done, good, isFirstGood);
}

function superblockLost({ copy, offset }: BtrfsPlace, uuid: string): Sight {
  return {
    outcome: 'errors_left',
    reason: 'errors_left',
    detail: `Its first superblock is damaged; by copy ${copy} of it, at byte ${offset}, no errors are found.`,
    uuid,
    exitStatus: 0,
    problems: ['The first superblock is damaged.'],
    fault: {
      rule: 'fs.btrfs_damage',
      severity: 'critical',
      byHand: 'btrfs rescue super-recover, after a copy of the superblocks was made.',
      isRepairable: true,
    },
  };
}

function judgeDamage(done: CommandResult, good: BtrfsPlace, isFirstGood: boolean): Sight {
  const { uuid, logRoot, devices } = good.superblock!;
  const problems = problemLines(done, FRAME);
  if (devices > 1) {
    return {
      ...failedSight('btrfs check', done, uuid),
      reason: 'multiple_devices',
      detail: `It lies on ${devices} devices, and cannot be judged by one of them.`,
    };
  }
  if (isFirstGood && logRoot !== 0n && LOG_LOST.test(`${done.out}\n${done.err}`)) {
    return {
      outcome: 'errors_left',
      reason: 'errors_left',
      detail:
        'Its log tree cannot be read, so that it cannot be mounted; of the other trees nothing can be said before that.',
      uuid,
      exitStatus: done.exitStatus,
      problems,
      fault: {
        rule: 'fs.btrfs_damage',
        severity: 'critical',
        byHand: 'btrfs rescue zero-log, after a copy of the superblocks was made.',
        isRepairable: true,
      },
    };
  }
  const detail =
    'Its trees are damaged: that is work for a specialist, and nothing here writes to it.';
  return lost('needs_specialist', detail, uuid, done.exitStatus, problems);
}

function lost(
  reason: string,
  detail: string,
  uuid: string | null,
  exitStatus: number | null,
  problems: readonly string[],
): Sight {
  return { outcome: 'errors_left', reason, detail, uuid, exitStatus, problems, fault: SPECIALIST };
}

async function prepareBtrfs({ handle, device, volume }: Work, sight: Sight): Promise<Cure> {
  const places = await readBtrfsPlaces(handle, device.bytes);
  const good = newestGood(places);
  if (sight.fault?.isRepairable !== true || good === null) {
    throw new ActionError(sight.reason ?? 'needs_specialist', sight.detail);
  }
  const { checksum } = good.superblock!;
  const isLog = places[0]!.superblock !== null;
  const byHand = isLog ? 'btrfs rescue zero-log' : 'btrfs rescue super-recover';
  if (checksum === 'another') {
    throw new ActionError(
      'checksum_not_supported',
      `its superblocks have a checksum that is not known here; by hand: ${byHand} ${device.path}`,
    );
  }
  const source = isLog ? withoutLog(good.bytes) : good.bytes;
  // All of them, so that none is left that says otherwise.
  const parts = places
    .map(({ offset, bytes }) => ({ offset, bytes: movedTo(source, offset), was: bytes }))
    .filter(({ bytes, was }) => !bytes.equals(was));
  const all = places.map(({ offset }): [number, number] => [offset, BTRFS_SUPERBLOCK_BYTES]);
  return {
    summary: isLog
      ? 'Take the log that cannot be read out of the superblocks'
      : 'Write the superblock anew from its copy',
    findings: isLog
      ? [
          'What was written in the last seconds before the crash, and only to the log, is lost.',
          `The same as ${byHand}; if the check afterwards finds anything, the superblocks are put back.`,
        ]
      : [`The same as ${byHand}.`],
    precondition: {
      what: 'all superblocks',
      digest: await digestRanges(volume.context, handle, all),
    },
    commands: [],
    endsClean: isLog ? null : true,
    means: { type: 'patch', patch: patchOf(parts), varying: null, watched: all, keepsake: null },
    async [Symbol.asyncDispose]() {},
  };
}

/** Of those that are sound the one that was written last. */
function newestGood(places: readonly BtrfsPlace[]): BtrfsPlace | null {
  const good = places.filter(({ superblock }) => superblock !== null);
  return good.reduce<BtrfsPlace | null>(
    (best, place) =>
      best === null || place.superblock!.generation > best.superblock!.generation ? place : best,
    null,
  );
}

async function readPlaces(device: BlockDevice): Promise<BtrfsPlace[]> {
  await using handle = await openDevice(device, 'read');
  return await readBtrfsPlaces(handle, device.bytes);
}
