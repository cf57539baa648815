import { z } from 'zod';
import { actionId, digest, fingerprint, timestamp, uuid } from '../fields.ts';

/**
 * That the client gave a secret, for one input of one action on one server, under one grant. Signed by a signing
 * key of the account: everybody can seal to an agent, so without this a courier could put a secret of its own in
 * the place of the client's. The secret itself lies beside, as an age file that no one but the agent is sent.
 */
export const credentialSchema = z.strictObject({
  id: uuid,
  account: uuid,
  /** Digest of the grant: not its id, which an attestation could bear too. */
  grant: digest,
  server: uuid,
  agentKey: fingerprint,
  action: actionId,
  /** Name of the action's sealed input. */
  input: z.string().min(1).max(64),
  /** SHA-256 of the age file. */
  sealed: digest,
  issuedAt: timestamp,
});

export type Credential = z.output<typeof credentialSchema>;
