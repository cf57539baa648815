import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import { findSavedFiles, requireUnchanged, restoreFiles } from '../files/restore-files.ts';
import { LIVE, RELOAD } from './plan-configure.ts';
import { mustSystemctl } from './systemctl.ts';
import type { Unit } from './unit.ts';
import {
  linkSnapshotSchema,
  presumedAfter,
  readLinks,
  requireLinksUnchanged,
  restoreLinks,
  type LinkSnapshot,
} from './unit-links.ts';

export const LINKS_BEFORE = 'links-before.json';
export const LINKS_AFTER = 'links-after.json';

/**
 * Puts back the links and files that a job has saved in `folder`, and has systemd read them. Throws
 * ActionError `changed_since`, before anything is written, when somebody has changed one since.
 */
export async function putBack(
  context: ActionContext,
  unit: Pick<Unit, 'names'>,
  folder: string,
): Promise<void> {
  const files = await findSavedFiles(LIVE, folder);
  requireUnchanged(files);
  const before = await readSnapshot(join(folder, LINKS_BEFORE));
  if (before !== null) {
    const now = await readLinks(LIVE);
    const noted = await readSnapshot(join(folder, LINKS_AFTER));
    const after = noted ?? presumedAfter(before, now, unit.names);
    requireLinksUnchanged(before, after, now);
    await restoreLinks(LIVE, before, after);
  }
  await restoreFiles(context, LIVE, folder, files);
  const [, ...words] = RELOAD;
  await mustSystemctl(context, words, 'reload_failed');
}

async function readSnapshot(path: string): Promise<LinkSnapshot | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  return text === null ? null : linkSnapshotSchema.parse(JSON.parse(text) as unknown);
}
