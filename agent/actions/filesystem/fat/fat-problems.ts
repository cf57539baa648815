import type { CommandResult } from '../../../process/command.ts';
import { problemLines } from '../sight.ts';

/** Lines of fsck.fat(8) that say nothing of a problem. */
const FRAME = [
  /^fsck\.fat \d/,
  /: \d+ files, \d+\/\d+ clusters$/,
  /^Leaving filesystem unchanged\.$/,
  /^\*\*\* Filesystem was changed \*\*\*$/,
  /^Using (?:first|second) FAT\.$/,
  /^Writing changes\.$/,
  /^Auto-correcting\.$/,
  /^Automatically removing dirty bit\.$/,
  /^Not automatically fixing this\.$/,
];

export function fatProblems(done: CommandResult): string[] {
  return problemLines(done, FRAME);
}
