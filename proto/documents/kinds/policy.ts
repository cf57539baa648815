import { z } from 'zod';
import { actionClass, actionPattern } from '../fields.ts';

/**
 * The local veto, `/etc/intervene/policy.toml`: deny by default; only local root writes it. A field left
 * out keeps its default.
 */
export const policySchema = z.strictObject({
  version: z.literal(1),
  /** Actions that orders may name. Empty: none. */
  allow: z.array(actionPattern).max(64).default([]),
  deny: z.array(actionPattern).max(64).default([]),
  'highest-class': actionClass.default('A'),
  /** Engineers needed for class C; the larger of this and the grant's number counts. */
  'engineers-for-class-c': z.int().min(1).max(4).default(1),
  /** Engineers needed for class C on the strength of an attestation. */
  'engineers-for-class-c-attested': z.int().min(1).max(4).default(2),
  /** Whether recordings of terminals also hold what was typed, passwords included. */
  'record-terminal-input': z.boolean().default(false),
  'allow-steps-without-undo': z.boolean().default(false),
});

export type Policy = z.output<typeof policySchema>;
