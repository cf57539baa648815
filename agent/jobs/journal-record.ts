import { z } from 'zod';
import { jobOutcome } from '../../proto/documents/kinds/receipt.ts';
import { digest, json } from '../../proto/documents/fields.ts';

/** What the journal of a job says, in order. `at` is milliseconds since 1970. */
export const journalRecordSchema = z.discriminatedUnion('type', [
  /** By the agent, before anything else: the job is known here. */
  z.strictObject({
    type: z.literal('received'),
    at: z.int(),
    job: z.string(),
    version: z.literal(1),
  }),
  /** By the runner, fsynced before the action's first instruction. */
  z.strictObject({ type: z.literal('started'), at: z.int() }),
  z.strictObject({
    type: z.literal('step_started'),
    at: z.int(),
    step: z.string(),
    description: z.string(),
  }),
  /** Backups of a step are durable before its first write. */
  z.strictObject({
    type: z.literal('step_saved'),
    at: z.int(),
    step: z.string(),
    backups: z.array(z.strictObject({ path: z.string(), bytes: z.int(), digest })),
  }),
  /** All that the step did is put back: nothing of what it saved is left to undo. Comes before its end. */
  z.strictObject({ type: z.literal('step_rolled_back'), at: z.int(), step: z.string() }),
  z.strictObject({
    type: z.literal('step_ended'),
    at: z.int(),
    step: z.string(),
    ok: z.boolean(),
    detail: z.string(),
  }),
  /**
   * A secret that the job made: an age file (base64) to the client, see `proto/documents/sealed-output.ts`.
   * Before the secret was put to use.
   */
  z.strictObject({
    type: z.literal('secret_sealed'),
    at: z.int(),
    name: z.string(),
    sealed: z.base64(),
  }),
  z.strictObject({
    type: z.literal('stop_requested'),
    at: z.int(),
    mode: z.enum(['now', 'after_step']),
    why: z.string(),
  }),
  /** The last record: by the runner, or by the agent for a runner that died. */
  z.strictObject({
    type: z.literal('ended'),
    at: z.int(),
    outcome: jobOutcome,
    reason: z.string().nullable(),
    exitStatus: z.int().nullable(),
    /** JSON of the action's result schema; null when there is none. */
    result: json,
    log: z.strictObject({
      bytes: z.int(),
      lines: z.int(),
      digest,
      gaps: z.array(
        z.strictObject({ offset: z.int(), missingBytes: z.int(), missingLines: z.int() }),
      ),
    }),
  }),
]);
export type JournalRecord = z.output<typeof journalRecordSchema>;
export type SavedRecord = Extract<JournalRecord, { type: 'step_saved' }>;
export type EndedRecord = Extract<JournalRecord, { type: 'ended' }>;
