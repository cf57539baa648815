import { counted } from '../counted.ts';
import { blemishes, unfinished } from './first-look.ts';
import type { ExtFilesystem } from './filesystem-examination.ts';
import type { Rehearsal } from './rehearsal.ts';
import type { WorkingCopy } from './working-copy.ts';

/** A plan is at most 64 KiB and 200 findings; the rest of it needs room too. */
const MAX_FINDINGS = 150;
const MAX_BYTES = 24 * 1024;
const MAX_CHARACTERS = 480;
const LISTED_INODES = 20;

/** What the rehearsal of a repair showed, most important first; the same rehearsal gives the same words. */
export function repairFindings(
  filesystem: ExtFilesystem,
  copy: WorkingCopy,
  rehearsal: Rehearsal,
): string[] {
  const { transcript } = rehearsal.repair;
  const findings = [...blemishes(filesystem), ...unfinished(filesystem)];
  if (transcript.journalLost) {
    findings.push('The journal cannot be read and would be made anew: the changes in it are lost.');
  }
  if (transcript.removals > 0) {
    findings.push(
      `${removed(transcript.removals)} would be removed because nothing usable is left.`,
    );
  }
  if (transcript.reconnected.length > 0) {
    findings.push(`${lostAndFound(transcript.reconnected)} would be hooked into lost+found.`);
  }
  if (!rehearsal.endsClean) {
    findings.push('Errors would be left: a second check after this repair still finds some.');
  }
  findings.push(
    copy.kind === 'metadata'
      ? 'Rehearsed on a copy of the metadata, in which e2fsck sees what it sees on the device.'
      : 'Rehearsed on a copy of the whole device.',
  );
  const texts = transcript.problems.map(({ text }) => `e2fsck: ${text}`);
  return bounded([...findings, ...texts], findings.length + transcript.problemCount);
}

/** `3 files or folders (inodes 12, 13, 19)` */
export function lostAndFound(inodes: readonly number[]): string {
  const listed = inodes.slice(0, LISTED_INODES).join(', ');
  const more = inodes.length > LISTED_INODES ? ', …' : '';
  const what = counted(inodes.length, 'file or folder', 'files or folders');
  return `${what} (${inodes.length === 1 ? 'inode' : 'inodes'} ${listed}${more})`;
}

/** `2 files, folders or entries` */
export function removed(count: number): string {
  return counted(count, 'file, folder or entry', 'files, folders or entries');
}

function bounded(findings: readonly string[], count: number): string[] {
  const kept: string[] = [];
  let bytes = 0;
  for (const finding of findings) {
    const text = finding.slice(0, MAX_CHARACTERS);
    bytes += Buffer.byteLength(JSON.stringify(text)) + 1;
    if (kept.length === MAX_FINDINGS || bytes > MAX_BYTES) break;
    kept.push(text);
  }
  if (kept.length < count)
    kept.push(`And ${count - kept.length} more, all in the log of the plan.`);
  return kept;
}
