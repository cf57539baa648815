import { open, readdir, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GuardedFile } from '../../guard/guard-folder.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { copyOpen, withDraft } from '../files/change-files.ts';
import { openFolderOf } from '../files/file-state.ts';
import { attributesRecordName } from '../files/attribute-change.ts';
import { linkRecordName, readSavedLink } from '../files/link-change.ts';
import { linkDraftName } from '../files/put-link.ts';
import { copyName, draftName, readSavedFile, recordName } from '../files/saved-file.ts';

type Context = Pick<ActionContext, 'run' | 'spec'>;

/** One of the names that a job is about to change, as its backup tells of it. */
interface OldName {
  path: string;
  existed: boolean;
  madeFolders: readonly string[];
  draft: string;
  /** Makes what was there, under another name beside it. */
  lay: (name: string) => Promise<void>;
}

/** Name of the old file beside the new one while a change waits; no program reads such names by itself. */
function oldName(path: string, job: string): string {
  return `.${basename(path).slice(0, 200)}.${job.slice(-12)}.old`;
}

/**
 * What the guardian is told of the files and links that a job has saved in `backups` and is about to change; paths
 * as the running system resolves them.
 */
export async function guardedFiles(
  context: Context,
  root: TargetRoot,
  backups: string,
): Promise<GuardedFile[]> {
  const { job } = context.spec;
  const files: GuardedFile[] = [];
  for (const { path, existed, madeFolders, draft } of await oldNames(context, root, backups)) {
    const folder = await openFolderOf(root, path);
    const at = folder?.path ?? dirname(path);
    await folder?.close();
    files.push({
      path: join(at, basename(path)),
      old: existed ? join(at, oldName(path, job)) : null,
      madeFolders,
      draft: join(at, draft),
    });
  }
  return files;
}

/** Puts what is to be put back beside what is to change: one rename does it then, which needs no room. */
export async function layOldFiles(
  context: Context,
  root: TargetRoot,
  backups: string,
): Promise<void> {
  for (const { path, existed, lay } of await oldNames(context, root, backups)) {
    if (existed) await lay(oldName(path, context.spec.job));
  }
}

/** Takes them away again; for a change that was never begun. */
export async function dropOldFiles(
  context: Context,
  root: TargetRoot,
  backups: string,
): Promise<void> {
  for (const { path } of await oldNames(context, root, backups)) {
    const inside = await openFolderOf(root, path);
    if (inside === null) continue;
    await rm(inside.entry(oldName(path, context.spec.job)), { force: true });
    await inside.close();
  }
}

async function oldNames(context: Context, root: TargetRoot, backups: string): Promise<OldName[]> {
  const names = new Set(await readdir(backups));
  const found: OldName[] = [];
  for (let index = 0; index < names.size; index++) {
    if (names.has(recordName(index))) found.push(await oldFile(context, root, backups, index));
    else if (names.has(linkRecordName(index))) found.push(await oldLink(root, backups, index));
    else if (names.has(attributesRecordName(index))) {
      throw new ActionError('guard_unavailable', 'a mode alone is not changed under a guard');
    }
  }
  return found;
}

async function oldFile(
  context: Context,
  root: TargetRoot,
  backups: string,
  index: number,
): Promise<OldName> {
  const { path, job, existed, madeFolders } = await readSavedFile(backups, index);
  return {
    path,
    existed,
    madeFolders,
    draft: draftName(basename(path), job),
    async lay(name) {
      const inside = await root.openFolder(dirname(path));
      const copy = await open(join(backups, copyName(index)), 'r');
      try {
        await withDraft(inside, name, job, (draft) => copyOpen(context, copy, draft, []));
        await inside.sync();
      } finally {
        await copy.close();
        await inside.close();
      }
    },
  };
}

async function oldLink(root: TargetRoot, backups: string, index: number): Promise<OldName> {
  const { path, before, madeFolders } = await readSavedLink(backups, index);
  return {
    path,
    existed: before !== null,
    madeFolders,
    draft: linkDraftName(basename(path)),
    async lay(name) {
      const inside = await root.openFolder(dirname(path));
      try {
        await symlink(before!, inside.entry(name));
        await inside.sync();
      } finally {
        await inside.close();
      }
    },
  };
}
