import { ActionError } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import type { Change } from '../files/change-steps.ts';
import { readState } from '../files/file-state.ts';

const SETTINGS = '/etc/security/faillock.conf';
const PAM = '/etc/pam.d';
const DEFAULT_FOLDER = '/var/run/faillock';

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
  const texts = [(await files.read(SETTINGS)) ?? ''];
  for (const name of await files.list(PAM)) {
    const text = (await files.read(`${PAM}/${name}`).catch(() => null)) ?? '';
    texts.push(...text.split('\n').filter((line) => line.includes('pam_faillock.so')));
  }
  const named = texts.flatMap((text) => [
    ...text.matchAll(/^(?!\s*#).*?\bdir\s*=\s*(\/[^\s\]]+)/gm),
  ]);
  const folders = new Set<string>();
  for (const path of [DEFAULT_FOLDER, ...named.map(([, path]) => path!)]) {
    const folder = await root.openFolder(path).catch(() => null);
    if (folder === null) continue;
    folders.add(folder.path);
    await folder.close();
  }
  if (folders.size > 8) throw new ActionError('target_hostile', 'too many folders of pam_faillock');
  return [...folders].toSorted();
}
