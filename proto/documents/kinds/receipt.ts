import { z } from 'zod';
import { digest, fingerprint, sessionKey, timestamp, uuid, uuidV7 } from '../fields.ts';
import { refusalReasons } from '../reasons.ts';

/** How a job ended, as the agent saw it. */
export const jobOutcome = z.enum(['succeeded', 'failed', 'cancelled', 'timed_out', 'interrupted']);
export type JobOutcome = z.output<typeof jobOutcome>;

const gap = z.strictObject({
  offset: z.int().min(0),
  missingBytes: z.int().min(1),
  missingLines: z.int().min(0),
});

const common = {
  job: uuidV7,
  server: uuid,
  agentKey: fingerprint,
  /** Null when what was delivered as an order is not even an envelope. */
  order: digest.nullable(),
  /** SHA-256 of the policy file that was in force; null when there was none that could be used. */
  policy: digest.nullable(),
  at: timestamp,
  /** Head of the audit chain that came with the job; null when none came. */
  auditHead: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
};

/** What the agent states about a job, signed with the agent's key. */
export const receiptSchema = z.discriminatedUnion('statement', [
  z.strictObject({
    statement: z.literal('accepted'),
    ...common,
    /** The agent's half of the key of an interactive session; the order has the engineer's. */
    sessionKey: sessionKey.optional(),
  }),
  z.strictObject({
    statement: z.literal('refused'),
    ...common,
    reason: z.enum(refusalReasons),
    detail: z.string().max(1000),
  }),
  z.strictObject({
    statement: z.literal('ended'),
    ...common,
    outcome: jobOutcome,
    reason: z.string().max(64).nullable(),
    exitStatus: z.int().min(0).max(255).nullable(),
    plan: digest.nullable(),
    result: digest,
    log: z.strictObject({
      digest,
      bytes: z.int().min(0),
      lines: z.int().min(0),
      gaps: z.array(gap).max(64),
    }),
    /** Step id, and digests of what was saved before it ran. */
    changes: z
      .array(z.strictObject({ step: z.string().max(64), backups: z.array(digest).max(64) }))
      .max(64),
    sealedOutputs: z.array(digest).max(32),
  }),
]);

export type Receipt = z.output<typeof receiptSchema>;
