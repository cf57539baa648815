import type { CommandResult } from '../../../process/command.ts';
import { problemLines } from '../sight.ts';

/** Lines of xfs_repair(8) that say nothing of a problem. */
const FRAME = [
  /^Phase \d/,
  /^- /,
  /^\.+$/,
  /^done$/,
  /^ALERT: The filesystem has valuable metadata/,
  /^ignored because the -n option/,
  /^which may be resolved by first mounting/,
  /^No modify flag set/,
  /^Exiting now\.$/,
  /^Cannot get host filesystem geometry/,
  /^Repair may fail if there is a sector size/,
  /^the image and the host filesystem/,
  /^attempting to find secondary superblock/,
  /^\.*found candidate secondary superblock/,
  /^verified secondary superblock/,
  /^would write modified primary superblock/,
  /^Primary superblock would have been modified/,
  /^Cannot proceed further in no_modify mode/,
  /^bp=\(bno /,
  /: Badness in key lookup/,
];
/** Where something lies in the tool's memory is another place each time. */
const ADDRESS = /\b0x[0-9a-f]{8,}(?=,)/g;

/** Said by another thread than the one that tells of a problem, and so in the middle of its lines too. */
const GROUP_LINE = / *- agno = \d+\n/g;

/** Sorted: groups are looked at beside each other, and which is told of first is chance. */
export function xfsProblems({ out, err, ...done }: CommandResult): string[] {
  const whole = {
    ...done,
    out: out.replaceAll(GROUP_LINE, ''),
    err: err.replaceAll(GROUP_LINE, ''),
  };
  return problemLines(whole, FRAME)
    .map((line) => line.replace(ADDRESS, 'an address'))
    .toSorted();
}

/** Changes wait in the log: said with `-n` and without. */
export function hasPendingLog(done: CommandResult): boolean {
  return /valuable metadata changes in a log/.test(`${done.out}\n${done.err}`);
}
