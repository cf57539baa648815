import type { FileHandle } from 'node:fs/promises';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ActionError, type SavedBackup } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { attributesOf, setAttributes } from './attributes.ts';
import { contentDigest, type FileAttributes } from './file-state.ts';
import { attributeCommands } from './plan-file-change.ts';
import type { FoundChange, PlannedChange } from './planned-change.ts';
import { withOpened } from './with-opened.ts';

/** Mode and owner of a file or folder as they are to become; its content stays. */
export interface AttributeChange extends Partial<FileAttributes> {
  path: string;
  /** See `FileChange.straight`. */
  straight?: true;
  /** Of what was looked at: nothing else in its place is given away. */
  inode?: number;
}

const attributes = z.strictObject({ mode: z.int(), uid: z.int(), gid: z.int() });
const savedAttributesSchema = z.strictObject({
  version: z.literal(1),
  path: z.string(),
  straight: z.boolean(),
  before: attributes,
  after: attributes,
});

export const attributesRecordName = (index: number) => `attributes-${index}.json`;

/** Looks at what is to change. Throws ActionError for what is neither a plain file nor a folder. */
export async function planAttributeChange(
  root: TargetRoot,
  change: AttributeChange,
): Promise<PlannedChange> {
  const { path, straight, inode } = change;
  const before = await withOpened(root, path, straight, async (handle) => look(handle));
  const after = afterOf(change, before);
  return {
    path,
    isNeeded: !isSame(before, after),
    changes: attributeCommands(path, before, after),
    precondition: { what: `${path}: mode and owner`, digest: digestOf(before) },
    backup: { what: 'mode and owner', bytes: 0 },
    undo: 'Mode and owner are put back.',
    async prepare({ folder, index }, expected) {
      const found = await withOpened(root, path, straight, async (handle) => look(handle));
      if (digestOf(found) !== expected) throw stale(path);
      const saved = { version: 1, path, straight: straight === true, before: found, after };
      const record = join(folder, attributesRecordName(index));
      const backups: SavedBackup[] = [await writeBackup(record, JSON.stringify(saved))];
      return {
        backups,
        make: () =>
          withOpened(root, path, straight, async (handle) => {
            const isIt = inode === undefined || (await handle.stat()).ino === inode;
            if (!isIt || !isSame(await look(handle), found)) throw stale(path);
            await setAttributes(handle, after);
          }),
      };
    },
  };
}

/** What a job saved before such a change, and what has become of it. */
export async function findAttributeChange(
  root: TargetRoot,
  folder: string,
  index: number,
): Promise<FoundChange> {
  const text = await readFile(join(folder, attributesRecordName(index)), 'utf8');
  const { path, straight, before, after } = savedAttributesSchema.parse(JSON.parse(text));
  const now = await withOpened(root, path, straight, async (handle) => look(handle)).catch(
    (error: unknown) => {
      if (error instanceof ActionError) return null;
      throw error;
    },
  );
  return {
    path,
    standing: now === null ? 'changed' : standingOf(now, before, after),
    restore: () =>
      withOpened(root, path, straight, async (handle) => {
        if (standingOf(await look(handle), before, after) === 'changed') throw changedSince(path);
        await setAttributes(handle, before);
      }),
  };
}

/** A job that was cut off may have set the owner only. */
function standingOf(
  now: FileAttributes,
  before: FileAttributes,
  after: FileAttributes,
): FoundChange['standing'] {
  if (isSame(now, before)) return 'before';
  const isOwn =
    [before.mode, after.mode, before.mode & 0o1777].includes(now.mode) &&
    [before.uid, after.uid].includes(now.uid) &&
    [before.gid, after.gid].includes(now.gid);
  return isOwn ? 'after' : 'changed';
}

async function look(handle: FileHandle): Promise<FileAttributes> {
  return attributesOf(await handle.stat());
}

function afterOf({ mode, uid, gid }: AttributeChange, before: FileAttributes): FileAttributes {
  return { mode: mode ?? before.mode, uid: uid ?? before.uid, gid: gid ?? before.gid };
}

function isSame(one: FileAttributes, other: FileAttributes): boolean {
  return digestOf(one) === digestOf(other);
}

function digestOf({ mode, uid, gid }: FileAttributes): string {
  return contentDigest(Buffer.from(`attributes ${mode.toString(8)} ${uid} ${gid}`));
}

function changedSince(path: string): ActionError {
  return new ActionError('changed_since', `${path} has been changed after the job`);
}

function stale(path: string): ActionError {
  return new ActionError('changed_since_plan', `${path} has changed since it was planned`);
}
