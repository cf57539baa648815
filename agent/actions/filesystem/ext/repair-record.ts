import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { digest } from '../../../../proto/documents/fields.ts';

/** Names in the folder of a repair's backups. */
export const backupNames = {
  metadata: 'metadata.qcow2',
  /** What e2fsck itself saved, for e2undo(8); on disk only when it has ended. */
  undoFile: 'e2fsck.undo',
  /** The blocks the rehearsal overwrote, as the device had them; on disk before the repair begins. */
  before: 'blocks-before',
  after: 'blocks-after',
  /** Blocks e2fsck overwrote on the device and not in the rehearsal; seldom there. */
  unforeseenBefore: 'unforeseen-before',
  unforeseenAfter: 'unforeseen-after',
  record: 'repair.json',
  outcome: 'repaired.json',
} as const;

/** What is known before the first write. */
export const repairRecordSchema = z.strictObject({
  version: z.literal(1),
  job: z.string(),
  device: z.string(),
  bytes: z.int(),
  filesystem: z.string(),
  uuid: z.string(),
  mountedAt: z.int(),
  hasMetadata: z.boolean(),
  /** Of all bytes; null for a device too large to read it whole. */
  wholeDigest: digest.nullable(),
  /** Of the bytes outside the saved blocks. */
  outsideDigest: digest.nullable(),
});
export type RepairRecord = z.output<typeof repairRecordSchema>;

/** What is known when e2fsck has ended. */
export const repairOutcomeSchema = z.strictObject({
  version: z.literal(1),
  hasUnforeseen: z.boolean(),
  /** Of the bytes outside the saved and the unforeseen blocks. */
  outsideDigest: digest.nullable(),
});
export type RepairOutcome = z.output<typeof repairOutcomeSchema>;

export async function readRecord(folder: string): Promise<RepairRecord> {
  const text = await readFile(join(folder, backupNames.record), 'utf8');
  return repairRecordSchema.parse(JSON.parse(text));
}

/** Null when e2fsck never came to its end. */
export async function readOutcome(folder: string): Promise<RepairOutcome | null> {
  const text = await readFile(join(folder, backupNames.outcome), 'utf8').catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    },
  );
  return text === null ? null : repairOutcomeSchema.parse(JSON.parse(text));
}
