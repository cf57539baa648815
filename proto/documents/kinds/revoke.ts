import { z } from 'zod';
import { fingerprint, text, timestamp, uuid } from '../fields.ts';

/**
 * Takes grants, secrets that were given (by the id of their credential, among `grants`), or keys back. Signed by a key of the account, an engineer, or a root key that may sign
 * `revoke`. Agents also obey a revocation nobody signed; a signed one outlasts a courier who drops it.
 */
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
