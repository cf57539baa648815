import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { O_PATH } from './attributes.ts';
import { labelFolders } from './change-files.ts';
import { contentDigest } from './file-state.ts';
import { missingFolders, removeFolders } from './folders.ts';
import { folderCommands } from './plan-file-change.ts';
import type { FoundChange, PlannedChange } from './planned-change.ts';
import { putLink, readLink } from './put-link.ts';
import { giveLabel, type Labelling } from './security-label.ts';

const { O_NOFOLLOW } = constants;

/** A symlink as it is to become. */
export interface LinkChange {
  path: string;
  /** Null: it is taken away. */
  target: string | null;
}

const savedLinkSchema = z.strictObject({
  version: z.literal(1),
  path: z.string(),
  before: z.string().nullable(),
  after: z.string().nullable(),
  madeFolders: z.array(z.string()),
});

export const linkRecordName = (index: number) => `link-${index}.json`;

/** Looks at a symlink that is to change. Throws ActionError where something else has its name. */
export async function planLinkChange(
  context: Labelling,
  root: TargetRoot,
  { path, target }: LinkChange,
): Promise<PlannedChange> {
  const before = await readLink(root, path);
  const folders = target === null ? [] : await missingFolders(root, dirname(path));
  return {
    path,
    isNeeded: before !== target,
    changes: [
      ...folderCommands(folders),
      {
        type: 'command',
        argv: target === null ? ['rm', path] : ['ln', '--symbolic', '--force', target, path],
      },
    ],
    precondition: { what: `${path}: where it leads`, digest: digestOf(before) },
    backup: {
      what: before === null ? 'that there is no such link' : `the link to ${before}`,
      bytes: 0,
    },
    undo: before === null ? 'The link is removed again.' : 'The link is put back.',
    async prepare({ folder, index }, expected) {
      const found = await readLink(root, path);
      if (digestOf(found) !== expected) throw stale(path);
      const madeFolders = target === null ? [] : await missingFolders(root, dirname(path));
      const saved = { version: 1, path, before: found, after: target, madeFolders };
      const record = join(folder, linkRecordName(index));
      return {
        backups: [await writeBackup(record, JSON.stringify(saved))],
        async make() {
          if ((await readLink(root, path)) !== found) throw stale(path);
          await putLink(root, path, target ?? undefined);
          await labelFolders(context, root, madeFolders);
          if (target !== null) await labelLink(context, root, path);
        },
      };
    },
  };
}

async function labelLink(context: Labelling, root: TargetRoot, path: string): Promise<void> {
  const folder = await root.openFolder(dirname(path));
  try {
    const link = await open(folder.entry(basename(path)), O_PATH | O_NOFOLLOW);
    try {
      await giveLabel(context, root, folder, link.fd, { path, kind: 'lnk_file' });
    } finally {
      await link.close();
    }
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export async function readSavedLink(
  folder: string,
  index: number,
): Promise<z.output<typeof savedLinkSchema>> {
  const text = await readFile(join(folder, linkRecordName(index)), 'utf8');
  return savedLinkSchema.parse(JSON.parse(text));
}

/** What a job saved before such a change, and what has become of it. */
export async function findLinkChange(
  root: TargetRoot,
  folder: string,
  index: number,
): Promise<FoundChange> {
  const { path, before, after, madeFolders } = await readSavedLink(folder, index);
  const now = await readLink(root, path).catch((error: unknown) => {
    if (error instanceof ActionError) return undefined;
    throw error;
  });
  return {
    path,
    standing: now === before ? 'before' : now === after ? 'after' : 'changed',
    async restore() {
      await putLink(root, path, before ?? undefined);
      await removeFolders(root, madeFolders);
    },
  };
}

function digestOf(target: string | null): string {
  return contentDigest(Buffer.from(target === null ? 'no link' : `link ${target}`));
}

function stale(path: string): ActionError {
  return new ActionError('changed_since_plan', `${path} has changed since it was planned`);
}
