import { z } from 'zod';
import {
  actionClass,
  actionPattern,
  ageRecipient,
  fingerprint,
  json,
  text,
  ticket,
  timestamp,
  uuid,
} from '../fields.ts';

export const GRANT_DEFAULT_SECONDS = 4 * 3600;
export const GRANT_MAX_SECONDS = 24 * 3600;

/**
 * Limits on one parameter: the exact values it may take. An action without limits may be ordered with
 * any parameters its schema allows; a parameter that brings something in (a key, an address, a package,
 * the content of a file) must always be named here.
 */
const allowedAction = z.strictObject({
  pattern: actionPattern,
  parameters: z.record(z.string().max(64), z.array(json).min(1).max(32)).optional(),
});

/** Where new credentials are sealed to: an age recipient of the client, or its public SSH key. */
export const credentialRecipient = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('age'), recipient: ageRecipient }),
  z.strictObject({ type: z.literal('ssh'), publicKey: z.string().max(2048) }),
]);

const grantFields = {
  id: uuid,
  account: uuid,
  ticket,
  servers: z
    .array(
      z.strictObject({
        id: uuid,
        name: z.string().max(255),
        /** Fingerprint of the agent's key; resident servers only. */
        agentKey: fingerprint.optional(),
      }),
    )
    .min(1)
    .max(64),
  actions: z.array(allowedAction).min(1).max(32),
  highestClass: actionClass,
  /** Null: every certified engineer; else fingerprints of the engineers' keys. */
  engineers: z.array(fingerprint).min(1).max(32).nullable(),
  engineersForClassC: z.int().min(1).max(4),
  acceptsStepsWithoutUndo: z.boolean(),
  notBefore: timestamp,
  expiresAt: timestamp,
  /** The grant this one prolongs. */
  extends: uuid.nullable(),
  credentialRecipient: credentialRecipient.nullable(),
  backupExists: z.enum(['yes', 'no', 'unsure']),
  interruptionAccepted: z.boolean(),
  /** Exactly what the client was shown before signing. */
  shownText: text,
};

type Window = { notBefore: number; expiresAt: number };
const isOrdered = (window: Window) => window.expiresAt > window.notBefore;
const isShort = (window: Window) => window.expiresAt - window.notBefore <= GRANT_MAX_SECONDS;

/** The client's permission. Signed by a signing key of the account. */
export const grantSchema = z
  .strictObject(grantFields)
  .refine(isOrdered, 'ends before it begins')
  .refine(isShort, 'valid for over 24 hours');

/**
 * An engineer's record of the client's written authorization on the ticket; accepted in rescue mode
 * only, and never signed by an engineer who signs the order.
 */
export const attestationSchema = z
  .strictObject({ ...grantFields, ticketWords: text, whyNotSigned: text })
  .refine(isOrdered, 'ends before it begins')
  .refine(isShort, 'valid for over 24 hours');

export type Grant = z.output<typeof grantSchema>;
export type Attestation = z.output<typeof attestationSchema>;
