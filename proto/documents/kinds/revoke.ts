import { z } from 'zod';
import { fingerprint, text, timestamp, uuid } from '../fields.ts';

/** Takes grants or keys back. Signed by the client for its own, by a root key for any. */
export const revokeSchema = z
  .strictObject({
    grants: z.array(uuid).max(64),
    keys: z.array(fingerprint).max(64),
    issuedAt: timestamp,
    reason: text,
    /** Let the running step end first. */
    afterStep: z.boolean(),
  })
  .refine((revoke) => revoke.grants.length + revoke.keys.length > 0, 'revokes nothing');

export type Revoke = z.output<typeof revokeSchema>;
