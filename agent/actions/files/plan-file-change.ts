import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { contentDigest, readState, stateDigest, type FileState } from './file-state.ts';
import { unifiedDiff } from './unified-diff.ts';

/** A file as it is to become. */
export interface FileChange {
  /** Absolute in the target. */
  path: string;
  /** Null: the file is removed. */
  content: Buffer | null;
  /** Of a file that is not there yet, which belongs to root; one that is there keeps its own. */
  mode: number;
}

/** What a plan says of one change of a file. */
export interface PlannedFileChange {
  change: FileChange;
  /** As it is now. */
  before: FileState | null;
  /** False when the file is as wanted already: the plan then needs no step for it. */
  isNeeded: boolean;
  diffs: PlanStep['changes'];
  precondition: Plan['preconditions'][number];
  backupBytes: number;
}

/** Half of what a document's text may hold, as JSON may double it. */
const DIFF_CHARACTERS = 4000;

/**
 * Looks at a file that is to change. Nothing is changed. Throws ActionError for what is no plain file, so
 * that a plan is never made that could not be carried out.
 */
export async function planFileChange(
  root: TargetRoot,
  change: FileChange,
): Promise<PlannedFileChange> {
  const before = await readState(root, change.path);
  const { path, content } = change;
  const isNeeded =
    content === null ? before !== null : before === null || !before.bytes.equals(content);
  return {
    change,
    before,
    isNeeded,
    diffs: isNeeded ? diffsOf(path, before?.bytes ?? null, content) : [],
    precondition: {
      what: before === null ? `${path}: that there is none` : `${path}: content, mode and owner`,
      digest: stateDigest(before),
    },
    backupBytes: before?.bytes.length ?? 0,
  };
}

/** Everything that changes, in as many pieces as the plan's format needs. */
function diffsOf(path: string, before: Buffer | null, after: Buffer | null): PlanStep['changes'] {
  const texts = [before, after].map((bytes) => (bytes === null ? null : textOf(bytes)));
  const [from, to] = texts;
  if (from === undefined || to === undefined) {
    const digest = (bytes: Buffer | null) => (bytes === null ? 'none' : contentDigest(bytes));
    const diff = `Not text: ${digest(before)}\n      to: ${digest(after)}\n`;
    return [{ type: 'diff', path, diff }];
  }
  const pieces: string[] = [''];
  for (const line of unifiedDiff(path, from, to).split(/(?<=\n)/)) {
    if (pieces.at(-1)!.length + line.length > DIFF_CHARACTERS) pieces.push('');
    pieces[pieces.length - 1] += line;
  }
  return pieces.map((diff) => ({ type: 'diff', path, diff }));
}

/** Undefined for what is no text. */
function textOf(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
