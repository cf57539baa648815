import { z } from 'zod';
import { identity, json, ticket } from '../../proto/documents/fields.ts';
import { credentialRecipient } from '../../proto/documents/kinds/grant.ts';

/**
 * What a runner is told to do: the verified order, without anything that could sign or connect. Written
 * to `spec.json` in the job's folder before the runner starts.
 */
export const jobSpecSchema = z.strictObject({
  job: z.string(),
  server: z.string(),
  action: z.string(),
  actionVersion: z.int(),
  /** Of the authorization; absent in jobs of agents before it was kept. */
  ticket: ticket.optional(),
  mode: z.enum(['plan', 'apply', 'undo']),
  parameters: z.record(z.string(), json),
  target: z.record(z.string(), json).nullable(),
  /** What the system on the disks of the target must say it is. */
  expect: identity.pick({ hostname: true, machineId: true }).optional(),
  /** Payload bytes of the plan to apply, base64; null when the action plans nothing. */
  plan: z.string().nullable(),
  /** The job whose changes `undo` takes back; its folder is there read-only, at its own place. */
  undoes: z.string().nullable(),
  /** To whom the client's grant wants new secrets sealed, or its SSH key; nobody when it is absent. */
  credentialRecipient: credentialRecipient.optional(),
  agentMode: z.enum(['rescue', 'resident']),
  maxRuntimeSeconds: z.int(),
  onDisconnect: z.enum(['finish', 'stop']),
  spoolCapBytes: z.int(),
  /** Whether what is typed into a terminal is recorded too, as the policy says. */
  recordInput: z.boolean().optional(),
});
export type JobSpec = z.output<typeof jobSpecSchema>;

/** Secrets never touch the job's folder: they go through the control socket, with the start message. */
export type SealedInputs = Record<string, string>;
