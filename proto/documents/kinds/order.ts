import { z } from 'zod';
import {
  actionId,
  digest,
  fingerprint,
  identity,
  json,
  nonce,
  text,
  timestamp,
  uuid,
  uuidV7,
} from '../fields.ts';

export const START_WITHIN_SECONDS = 15 * 60;

/** In place of the path of a disk: every disk that the running system does not use itself. */
export const ALL_DISKS = 'all';

/** A job as an engineer signs it: for one server, one agent, one authorization, once. */
export const orderSchema = z
  .strictObject({
    job: uuidV7,
    /** Digest of the grant or attestation. Null is always refused; it makes the refusal provable. */
    authorization: digest.nullable(),
    server: uuid,
    agentKey: fingerprint,
    action: actionId,
    actionVersion: z.int().min(1).max(1000),
    /** `undo` takes back the changes of the job named in `undoes`, which its own order authorized. */
    mode: z.enum(['plan', 'apply', 'undo']),
    plan: digest.nullable(),
    undoes: uuidV7.nullable(),
    parameters: z.record(z.string().max(64), json),
    /**
     * A system found on disks; null: the running one. `disk` is the path of a device or image, or `ALL_DISKS`;
     * `filesystem` the UUID of the file system that holds the system's root, needed where several are found.
     */
    target: z
      .strictObject({
        disk: z.string().max(255).optional(),
        filesystem: z.string().max(255).optional(),
      })
      .nullable(),
    expect: identity,
    /**
     * Secrets for the job by name: age files (base64) to the agent's recipient, see `sealed-input.ts`; or what the
     * client gave, by reference, see `given-reference.ts`.
     */
    sealedInputs: z.record(z.string().max(64), z.string().max(16 * 1024)),
    nonce,
    issuedAt: timestamp,
    startBefore: timestamp,
    maxRuntimeSeconds: z
      .int()
      .min(1)
      .max(7 * 24 * 3600),
    onDisconnect: z.enum(['finish', 'stop']),
    reason: text,
  })
  .refine((order) => order.startBefore > order.issuedAt, 'must start before it was issued')
  .refine(
    (order) => order.startBefore - order.issuedAt <= START_WITHIN_SECONDS,
    'may start over 15 minutes after it was issued',
  )
  .refine((order) => order.mode !== 'plan' || order.plan === null, 'a plan order names a plan')
  .refine(
    (order) => (order.mode === 'undo') === (order.undoes !== null),
    '`undoes` belongs to mode undo',
  );

export type Order = z.output<typeof orderSchema>;
