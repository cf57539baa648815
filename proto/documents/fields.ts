import { z } from 'zod';

/** Field types that several kinds of documents share. Lengths bound what a hostile signer can make us hold. */

/** Seconds since 1970-01-01T00:00:00Z. */
export const timestamp = z.int().min(0).max(4_102_444_800);
export const uuid = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
/** A UUID version 7 (RFC 9562): jobs sort by the time they were ordered. */
export const uuidV7 = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
export const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
export const fingerprint = z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/);
export const nonce = z.string().regex(/^[A-Za-z0-9_-]{22}$/);
export const name = z.string().min(1).max(200);
export const text = z.string().max(8192);
export const ticket = z.string().min(1).max(100);
export const actionId = z.string().regex(/^[a-z]+\.[a-z]+(?:-[a-z]+)*$/);
/** An action id, or an area with `.*`, or `*`. */
export const actionPattern = z.string().regex(/^(?:\*|[a-z]+\.(?:\*|[a-z]+(?:-[a-z]+)*))$/);
export const actionClass = z.enum(['A', 'B', 'C']);
export type ActionClass = z.output<typeof actionClass>;
/** Raw X25519 public key (RFC 7748), base64url in its only spelling. */
export const sessionKey = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
/** An age X25519 recipient. */
export const ageRecipient = z.string().regex(/^age1[02-9ac-hj-np-z]{58}$/);

/** Any JSON value; the strict parser has already bounded depth, size and numbers. */
export const json: z.ZodType<JsonValue> = z.json() as z.ZodType<JsonValue>;
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | JsonValue[]
  | { [key: string]: JsonValue };

/** What an agent or an order says identifies a machine. Absent fields say nothing. */
export const identity = z.strictObject({
  serial: z.string().max(200).optional(),
  macAddresses: z.array(z.string().max(32)).max(64).optional(),
  machineId: z.string().max(64).optional(),
  hostname: z.string().max(255).optional(),
});
export type Identity = z.output<typeof identity>;

/** Whether `pattern` (see `actionPattern`) allows the action. */
export function matchesAction(pattern: string, action: string): boolean {
  if (pattern === '*') return true;
  if (pattern.endsWith('.*')) return action.startsWith(pattern.slice(0, -1));
  return pattern === action;
}

const CLASS_RANK = { A: 0, B: 1, C: 2 } as const;

export function isClassWithin(actual: ActionClass, highest: ActionClass): boolean {
  return CLASS_RANK[actual] <= CLASS_RANK[highest];
}
