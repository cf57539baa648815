import { copyFile, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { ActionError, type ActionContext, type SavedBackup } from '../../../runner/action.ts';
import { syncAndDigest, writeBackup } from '../../filesystem/durable-write.ts';
import type { ComingRpm, RpmChange } from './rpm-change.ts';
import { nvra } from './rpm-manager.ts';
import { listRpms } from './rpm-records.ts';
import type { RpmSession } from './rpm-session.ts';

const RECORD_FILE = 'rpms.json';

/** What was there before a change; undo goes by this. */
export const rpmChangeRecordSchema = z.strictObject({
  version: z.literal(1),
  packages: z.array(
    z.strictObject({
      name: z.string(),
      architecture: z.string(),
      /** Versions of that name and architecture that were there. */
      before: z.array(z.string()),
      /** The one that gives way, of whatever architecture; null where none does. */
      replaces: z.strictObject({ evr: z.string(), architecture: z.string() }).nullable(),
      to: z.string(),
      /** The kept archive of what gives way, in the same folder. */
      file: z.string().nullable(),
    }),
  ),
});
export type RpmChangeRecord = z.output<typeof rpmChangeRecordSchema>;

/** Fetches what gives way once more and keeps it, with what was there, durably. */
export async function saveForRpmChange(
  context: ActionContext,
  session: RpmSession,
  { coming, unavailable }: RpmChange,
  folder: string,
): Promise<SavedBackup[]> {
  const wanted = coming.flatMap(({ replaces }) =>
    replaces === null || unavailable.includes(replaces) ? [] : [replaces],
  );
  const fetched = wanted.length === 0 ? [] : await session.fetchEarlier(wanted);
  const backups: SavedBackup[] = [];
  const files = new Map<string, string>();
  for (const entry of wanted) {
    const archive = fetched.find((one) => nvra(one) === nvra(entry) && one.evr === entry.evr);
    if (archive === undefined) {
      throw new ActionError(
        'download_failed',
        `the repositories did not give ${nvra(entry)}, which is to be kept. Nothing was changed.`,
      );
    }
    const kept = join(folder, basename(archive.path));
    await copyFile(archive.path, kept);
    backups.push(await syncAndDigest(kept));
    files.set(nvra(entry), basename(kept));
  }
  const installed = await listRpms(context);
  const record: RpmChangeRecord = {
    version: 1,
    packages: coming.map(({ archive, replaces }) => ({
      name: archive.name,
      architecture: archive.architecture,
      before: installed
        .filter(
          ({ name, architecture }) =>
            name === archive.name && architecture === archive.architecture,
        )
        .map(({ evr }) => evr),
      replaces: replaces && { evr: replaces.evr, architecture: replaces.architecture },
      to: archive.evr,
      file: replaces === null ? null : (files.get(nvra(replaces)) ?? null),
    })),
  };
  backups.push(await writeBackup(join(folder, RECORD_FILE), JSON.stringify(record)));
  return backups;
}

/** What a change was to do, for people; `before` is null for what came beside all else. */
export function asTold({ coming }: { coming: readonly ComingRpm[] }) {
  return coming.map(({ archive, replaces }) => ({
    name: archive.name,
    architecture: archive.architecture,
    before: replaces?.evr ?? null,
    to: archive.evr,
  }));
}

export async function readRpmRecord(folder: string): Promise<RpmChangeRecord> {
  const text = await readFile(join(folder, RECORD_FILE), 'utf8');
  return rpmChangeRecordSchema.parse(JSON.parse(text));
}
