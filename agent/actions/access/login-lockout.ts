import type { Target } from '../../target/open-target.ts';
import { readFaillock } from '../diagnostics/accounts/faillock.ts';
import type { Change } from '../files/change-steps.ts';
import { readState } from '../files/file-state.ts';

/**
 * Empties the lists of failed log-ins that pam_faillock(8) keeps of a user, as `faillock --reset` does.
 * Nothing where it keeps none.
 */
export async function clearFailures(target: Target, user: string): Promise<Change[]> {
  const changes: Change[] = [];
  for (const folder of await tallyFolders(target)) {
    const path = `${folder}/${user}`;
    const tally = await readState(target.root, path);
    if (tally === null || tally.bytes.length === 0) continue;
    changes.push({ kind: 'file', path, content: Buffer.alloc(0), mode: 0o600, liftsFlags: true });
  }
  return changes;
}

/** Where the lists lie, each folder once and under its own name. */
async function tallyFolders({ files, root }: Target): Promise<string[]> {
  const settings = await readFaillock(files);
  const folders = new Set<string>();
  for (const path of settings?.folders ?? []) {
    const folder = await root.openFolder(path).catch(() => null);
    if (folder === null) continue;
    folders.add(folder.path);
    await folder.close();
  }
  return [...folders].toSorted();
}
