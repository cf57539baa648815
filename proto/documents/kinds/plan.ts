import { z } from 'zod';
import { actionId, digest, json, text, uuid } from '../fields.ts';

const change = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('command'),
    argv: z.array(z.string().max(4096)).min(1).max(64),
  }),
  z.strictObject({ type: z.literal('diff'), path: z.string().max(4096), diff: text }),
]);

const step = z.strictObject({
  id: z.string().regex(/^[a-z][a-z0-9-]{0,63}$/),
  description: z.string().max(500),
  changes: z.array(change).max(64),
  /** Folders in which a program of the step writes files the plan cannot list. */
  declaredFolders: z.array(z.string().max(4096)).max(16),
  backup: z
    .strictObject({ what: z.string().max(500), bytes: z.int().min(0), where: z.string().max(4096) })
    .nullable(),
  verify: z.string().max(500),
  undo: z.discriminatedUnion('possible', [
    z.strictObject({ possible: z.literal(true), how: z.string().max(500) }),
    z.strictObject({ possible: z.literal(false), why: z.string().max(500) }),
  ]),
  interrupt: z.enum(['now', 'finish', 'rollback']),
  /** How long the step may go on after it was told to stop. */
  interruptBoundSeconds: z
    .int()
    .min(0)
    .max(24 * 3600),
});

/**
 * What an action will do, as bytes that never vary for the same server state: no time, secret or random
 * value. Signed by the agent that made it; applied by digest, never computed again.
 */
export const planSchema = z.strictObject({
  server: uuid,
  action: actionId,
  actionVersion: z.int().min(1).max(1000),
  parameters: z.record(z.string().max(64), json),
  target: z.record(z.string().max(64), json),
  summary: z.string().max(2000),
  /** What a rehearsal or an inspection found, in the action's own words. */
  findings: z.array(z.string().max(500)).max(200),
  /** What must still be so when the plan is applied; compared by digest before the first write. */
  preconditions: z.array(z.strictObject({ what: z.string().max(500), digest })).max(64),
  steps: z.array(step).max(64),
});

export type Plan = z.output<typeof planSchema>;
export type PlanStep = Plan['steps'][number];
