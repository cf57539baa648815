import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';
import { syncAndDigest, writeBackup } from '../filesystem/durable-write.ts';
import { runDpkg } from './apt-session.ts';
import { listPackages } from './installed-packages.ts';
import type { Replaced } from './package-change.ts';
import { keep } from './saved-packages.ts';
import type { PlannedPackage } from './transaction.ts';

const RECORD_FILE = 'packages.json';

/** What was there before a change; undo goes by this. */
export const changeRecordSchema = z.strictObject({
  version: z.literal(1),
  packages: z.array(
    z.strictObject({
      name: z.string(),
      architecture: z.string(),
      /** Null for a package that dpkg did not know. */
      before: z.strictObject({ version: z.string(), state: z.string() }).nullable(),
      to: z.string(),
      /** The kept archive of the version before, in the same folder. */
      file: z.string().nullable(),
    }),
  ),
  /** Packages that were installed only because others needed them. */
  automatic: z.array(z.string()),
});
export type ChangeRecord = z.output<typeof changeRecordSchema>;

/** Keeps the earlier versions and what was there, durably. */
export async function saveForChange(
  context: ActionContext,
  planned: readonly PlannedPackage[],
  replaced: readonly Replaced[],
  folder: string,
): Promise<SavedBackup[]> {
  const backups: SavedBackup[] = [];
  const files = new Map<string, string>();
  for (const [at, { entry, keeping }] of replaced.entries()) {
    if (keeping.how === 'none') continue;
    context.progress('saving', Math.floor((100 * at) / replaced.length), entry.name);
    const path = await keep(context, entry, keeping, folder);
    files.set(`${entry.name}:${entry.version}`, path.slice(folder.length + 1));
    backups.push(await syncAndDigest(path));
  }
  const installed = await listPackages(context);
  const record: ChangeRecord = {
    version: 1,
    packages: planned.map(({ name, architecture, from, to }) => {
      const known = installed.filter((entry) => entry.name === name);
      const before =
        known.find((entry) => entry.architecture === architecture) ??
        known.find((entry) => entry.version === from);
      return {
        name,
        architecture,
        before: before === undefined ? null : { version: before.version, state: before.state },
        to,
        file: from === null ? null : (files.get(`${name}:${from}`) ?? null),
      };
    }),
    automatic: await automaticPackages(context),
  };
  backups.push(await writeBackup(join(folder, RECORD_FILE), JSON.stringify(record)));
  return backups;
}

export async function readRecord(folder: string): Promise<ChangeRecord> {
  const text = await readFile(join(folder, RECORD_FILE), 'utf8');
  return changeRecordSchema.parse(JSON.parse(text));
}

export async function automaticPackages(context: ActionContext): Promise<string[]> {
  const done = await runDpkg(context, ['apt-mark', 'showauto'], { output: 'capture' });
  if (done.exitStatus === 0 && !done.truncated) {
    return done.out
      .split('\n')
      .filter((line) => line !== '')
      .toSorted();
  }
  throw new ActionError('dpkg_unreadable', `apt-mark cannot list packages: ${done.err.trim()}`);
}
