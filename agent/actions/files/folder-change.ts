import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { attributesOf, openUnfollowed } from './attributes.ts';
import { labelFolders } from './change-files.ts';
import { contentDigest, openFolderOf, type FileAttributes } from './file-state.ts';
import { makeFolders, missingFolders, removeFolders } from './folders.ts';
import { folderCommands } from './plan-file-change.ts';
import type { FoundChange, PlannedChange } from './planned-change.ts';
import type { Labelling } from './security-label.ts';

/** A folder that is to be there. One that is there stays as it is, and so does what lies in it. */
export interface FolderChange extends FileAttributes {
  path: string;
}

const savedFolderSchema = z.strictObject({
  version: z.literal(1),
  path: z.string(),
  /** The outermost first. */
  madeFolders: z.array(z.string()),
  after: z.strictObject({ mode: z.int(), uid: z.int(), gid: z.int() }),
});

export const folderRecordName = (index: number) => `folder-${index}.json`;

/** Looks at a folder that is to be there. Throws ActionError where something else has its name. */
export async function planFolderChange(
  context: Labelling,
  root: TargetRoot,
  change: FolderChange,
): Promise<PlannedChange> {
  const { path, mode, uid, gid } = change;
  const after = { mode, uid, gid };
  const isThere = (await look(root, path)) !== null;
  const missing = isThere ? [] : await missingFolders(root, path);
  return {
    path,
    isNeeded: !isThere,
    changes: folderCommands(missing, after),
    precondition: { what: `${path}: whether it is there`, digest: digestOf(isThere) },
    backup: { what: 'that there is no such folder', bytes: 0 },
    undo: 'The folder is removed again, as far as nothing else lies in it.',
    async prepare({ folder, index }, expected) {
      if (digestOf((await look(root, path)) !== null) !== expected) throw stale(path);
      const madeFolders = await missingFolders(root, path);
      const saved = { version: 1, path, madeFolders, after };
      const record = join(folder, folderRecordName(index));
      return {
        backups: [await writeBackup(record, JSON.stringify(saved))],
        async make() {
          await makeFolders(root, path, after);
          await labelFolders(context, root, madeFolders);
        },
      };
    },
  };
}

/** What a job saved before such a change, and what has become of it. */
export async function findFolderChange(
  root: TargetRoot,
  folder: string,
  index: number,
): Promise<FoundChange> {
  const text = await readFile(join(folder, folderRecordName(index)), 'utf8');
  const { path, madeFolders, after } = savedFolderSchema.parse(JSON.parse(text));
  const now = await look(root, path);
  const isOwn = now?.uid === after.uid && now.gid === after.gid;
  return {
    path,
    // A job that was cut off may have made it without giving it away.
    standing: now === null ? 'before' : isOwn || now.uid === 0 ? 'after' : 'changed',
    restore: () => removeFolders(root, madeFolders),
  };
}

async function look(root: TargetRoot, path: string): Promise<FileAttributes | null> {
  const parent = await openFolderOf(root, path);
  if (parent === null) return null;
  try {
    const found = await openUnfollowed(parent, basename(path)).catch((error: unknown) => {
      if (error instanceof ActionError && error.reason === 'changed_since_plan') return null;
      throw error;
    });
    if (found === null) return null;
    try {
      const stats = await found.stat();
      if (stats.isDirectory()) return attributesOf(stats);
    } finally {
      await found.close();
    }
  } finally {
    await parent.close();
  }
  throw new ActionError('not_a_folder', `${path} is no folder; nothing was changed`);
}

function digestOf(isThere: boolean): string {
  return contentDigest(Buffer.from(isThere ? 'a folder' : 'no folder'));
}

function stale(path: string): ActionError {
  return new ActionError('changed_since_plan', `${path} has changed since it was planned`);
}
