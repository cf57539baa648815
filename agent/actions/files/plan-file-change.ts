import { basename, dirname } from 'node:path';
import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { readFlags } from './file-flags.ts';
import {
  contentDigest,
  openFolderOf,
  readStateIn,
  stateDigest,
  type FileAttributes,
  type FileState,
} from './file-state.ts';
import { missingFolders, NEW_FOLDER } from './folders.ts';
import { unifiedDiff } from './unified-diff.ts';

/** A file as it is to become. */
export interface FileChange {
  /** Absolute in the target. */
  path: string;
  /** Null: the file is removed. */
  content: Buffer | null;
  /** Of a file that is not there yet; one that is there keeps its own. */
  mode: number;
  /** Of a file that is not there yet; root's unless given. */
  owner?: Pick<FileAttributes, 'uid' | 'gid'>;
  /** What mode and owner of a file that is there become together with the content. */
  corrects?: Partial<FileAttributes>;
  /** Of folders that are made for it: root's, for everybody to read, unless given. */
  folders?: FileAttributes;
  /** Of a new file and its new folders: the type of SELinux, where the path does not say it; see `giveLabel`. */
  label?: string;
  /** No symlink may lie on the way: somebody else than root could lead the change elsewhere by one. */
  straight?: true;
  /** Flags that keep everybody from changing it are taken off for the change, and given again. */
  liftsFlags?: true;
  /** As large as it may be; one that belongs to a package may be more than a setting. */
  maxBytes?: number;
  /** Where the content lies already; a plan then names that, and does not show it. */
  copyOf?: string;
  /** How a text of it is shown in plans; as it is unless given. */
  shown?: (text: string) => string;
}

/** What a plan says of one change of a file. */
export interface PlannedFileChange {
  change: FileChange;
  /** As it is now. */
  before: FileState | null;
  /** False when the file is as wanted already: the plan then needs no step for it. */
  isNeeded: boolean;
  changes: PlanStep['changes'];
  precondition: Plan['preconditions'][number];
  backupBytes: number;
}

/** Half of what a document's text may hold, as JSON may double it. */
const DIFF_CHARACTERS = 4000;

/**
 * Looks at a file that is to change. Nothing is changed. Throws ActionError for what is no plain file, so
 * that a plan is never made that could not be carried out.
 *
 * @param context needed for a change that lifts flags
 */
export async function planFileChange(
  root: TargetRoot,
  change: FileChange,
  context?: Pick<ActionContext, 'run'>,
): Promise<PlannedFileChange> {
  const { path, content } = change;
  const { before, flags } = await lookAt(root, change, context);
  const folders =
    content === null ? [] : await missingFolders(root, dirname(path), change.straight);
  const isNeeded =
    content === null
      ? before !== null
      : before === null || !before.bytes.equals(content) || isCorrected(before, change);
  return {
    change,
    before,
    isNeeded,
    changes: isNeeded
      ? [...folderCommands(folders, change.folders), ...shownChanges(change, before, flags)]
      : [],
    precondition: {
      what: before === null ? `${path}: that there is none` : `${path}: content, mode and owner`,
      digest: stateDigest(before),
    },
    backupBytes: before?.bytes.length ?? 0,
  };
}

/** Mode and owner of the file when the change is made. */
export function attributesAfter(
  { mode, owner, corrects }: FileChange,
  before: FileAttributes | null,
): FileAttributes {
  if (before === null) return { mode, uid: owner?.uid ?? 0, gid: owner?.gid ?? 0 };
  return {
    mode: corrects?.mode ?? before.mode,
    uid: corrects?.uid ?? before.uid,
    gid: corrects?.gid ?? before.gid,
  };
}

async function lookAt(
  root: TargetRoot,
  { path, straight, liftsFlags, maxBytes }: FileChange,
  context: Pick<ActionContext, 'run'> | undefined,
): Promise<{ before: FileState | null; flags: string }> {
  const folder = await openFolderOf(root, path, straight);
  if (folder === null) return { before: null, flags: '' };
  try {
    const before = await readStateIn(folder, basename(path), maxBytes);
    if (before === null || liftsFlags !== true) return { before, flags: '' };
    if (context === undefined) throw new TypeError('flags are looked at by a program');
    return { before, flags: await readFlags(context, folder, basename(path)) };
  } finally {
    await folder.close();
  }
}

function isCorrected(before: FileState, change: FileChange): boolean {
  const after = attributesAfter(change, before);
  return after.mode !== before.mode || after.uid !== before.uid || after.gid !== before.gid;
}

function shownChanges(
  change: FileChange,
  before: FileState | null,
  flags: string,
): PlanStep['changes'] {
  const { path, content } = change;
  const command = (...argv: string[]) => ({ type: 'command' as const, argv });
  const diffs = diffsOf(change, before?.bytes ?? null, content);
  const after = attributesAfter(change, before);
  const changes = [...diffs];
  if (before !== null && content !== null) changes.push(...attributeCommands(path, before, after));
  if (flags === '') return changes;
  const again = content === null ? [] : [command('chattr', `+${flags}`, path)];
  return [command('chattr', `-${flags}`, path), ...changes, ...again];
}

/** How a plan shows that folders are made. */
export function folderCommands(
  paths: readonly string[],
  { mode, uid, gid }: FileAttributes = NEW_FOLDER,
): PlanStep['changes'] {
  const made = `--mode=0${mode.toString(8)}`;
  const commands = paths.flatMap((path) => [
    ['mkdir', made, path],
    ...(uid === 0 && gid === 0 ? [] : [['chown', `${uid}:${gid}`, path]]),
  ]);
  return commands.map((argv) => ({ type: 'command', argv }));
}

/** How a plan shows that mode or owner of something change. */
export function attributeCommands(
  path: string,
  before: FileAttributes,
  after: FileAttributes,
): PlanStep['changes'] {
  const commands: string[][] = [];
  if (after.uid !== before.uid || after.gid !== before.gid) {
    commands.push(['chown', `${after.uid}:${after.gid}`, path]);
  }
  if (after.mode !== before.mode) {
    commands.push(['chmod', `0${after.mode.toString(8)}`, path]);
  }
  return commands.map((argv) => ({ type: 'command', argv }));
}

/** Everything that changes, in as many pieces as the plan's format needs. */
function diffsOf(
  { path, shown, copyOf }: FileChange,
  before: Buffer | null,
  after: Buffer | null,
): PlanStep['changes'] {
  if (before !== null && after?.equals(before) === true) return [];
  if (copyOf !== undefined) {
    return [{ type: 'command', argv: ['cp', '--no-preserve=all', copyOf, path] }];
  }
  const texts = [before, after].map((bytes) => (bytes === null ? null : textOf(bytes)));
  const [from, to] = texts;
  if (from === undefined || to === undefined) {
    const digest = (bytes: Buffer | null) => (bytes === null ? 'none' : contentDigest(bytes));
    const diff = `Not text: ${digest(before)}\n      to: ${digest(after)}\n`;
    return [{ type: 'diff', path, diff }];
  }
  const show = (text: string | null) => (text === null ? null : (shown?.(text) ?? text));
  const pieces: string[] = [''];
  for (const line of unifiedDiff(path, show(from), show(to)).split(/(?<=\n)/)) {
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
