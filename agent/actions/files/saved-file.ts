import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { digest } from '../../../proto/documents/fields.ts';

/** What is known of one file before its first write; lies beside the copy of it. */
export const savedFileSchema = z.strictObject({
  version: z.literal(1),
  /** The job that changes it; names its drafts. */
  job: z.string(),
  path: z.string(),
  /** See `stateDigest`. */
  before: digest,
  after: digest,
  existed: z.boolean(),
  /** Folders made for it, the outermost first. */
  madeFolders: z.array(z.string()),
  /** No symlink may lie on the way to it. */
  straight: z.boolean().optional(),
  /** Flags of the file that were taken off for the change, see `readFlags`. */
  flags: z.string().optional(),
  /** As large as the file may be. */
  maxBytes: z.int().optional(),
});
export type SavedFile = z.output<typeof savedFileSchema>;

/** Names in a folder of backups, by the number of the file. */
export const recordName = (index: number) => `file-${index}.json`;
export const copyName = (index: number) => `file-${index}.before`;
export const recordPattern = /^file-(\d{1,4})\.json$/;

export async function readSavedFile(folder: string, index: number): Promise<SavedFile> {
  return savedFileSchema.parse(
    JSON.parse(await readFile(join(folder, recordName(index)), 'utf8')) as unknown,
  );
}

/** What a change is written to before it takes the file's name; no program reads such names by itself. */
export function draftName(name: string, job: string): string {
  return `.${name.slice(0, 200)}.${job.slice(-12)}.new`;
}
