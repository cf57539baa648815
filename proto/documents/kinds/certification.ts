import { z } from 'zod';
import { publicKeySchema } from '../keys.ts';
import { name, timestamp, uuid } from '../fields.ts';

const DAY = 24 * 3600;
export const LEAD_MAX_SECONDS = 90 * DAY;
export const ENGINEER_MAX_SECONDS = 7 * DAY;
export const ENGINEER_DEFAULT_SECONDS = 12 * 3600;

const fields = {
  /** The person. Two keys of one person never count as two engineers. */
  person: uuid,
  name,
  /** A passkey signs orders of class A only, and never another document. */
  keys: z.array(publicKeySchema).min(1).max(4),
  notBefore: timestamp,
  expiresAt: timestamp,
};

/** An engineer who may issue engineer documents. Signed by a root key that may sign `lead`. */
export const leadSchema = z
  .strictObject(fields)
  .refine((lead) => lead.expiresAt > lead.notBefore, 'ends before it begins')
  .refine((lead) => lead.expiresAt - lead.notBefore <= LEAD_MAX_SECONDS, 'valid for over 90 days');

/** A person whose orders agents accept. Signed by a lead, or a root key that may sign `engineer`. */
export const engineerSchema = z
  .strictObject(fields)
  .refine((engineer) => engineer.expiresAt > engineer.notBefore, 'ends before it begins')
  .refine(
    (engineer) => engineer.expiresAt - engineer.notBefore <= ENGINEER_MAX_SECONDS,
    'valid for over 7 days',
  );

export type Lead = z.output<typeof leadSchema>;
export type Engineer = z.output<typeof engineerSchema>;
