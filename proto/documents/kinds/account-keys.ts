import { z } from 'zod';
import { publicKeySchema } from '../keys.ts';
import { digest, name, timestamp, uuid } from '../fields.ts';

/**
 * The client's keys. Version 1 is signed by one of its own keys and pinned by digest at install; each
 * later version names its predecessor and is signed by a key of it.
 */
export const accountKeysSchema = z
  .strictObject({
    account: uuid,
    version: z.int().min(1).max(1_000_000),
    previous: digest.nullable(),
    issuedAt: timestamp,
    keys: z
      .array(
        z.strictObject({
          key: publicKeySchema,
          name,
          use: z.enum(['signing', 'recovery']),
        }),
      )
      .min(2, 'at least two keys, or one and a recovery key')
      .max(32),
  })
  .refine(
    (doc) => (doc.version === 1) === (doc.previous === null),
    'only version 1 has no predecessor',
  )
  .refine((doc) => doc.keys.some((entry) => entry.use === 'signing'), 'no signing key')
  .refine(
    (doc) => new Set(doc.keys.map((entry) => entry.key.public)).size === doc.keys.length,
    'a key stands twice',
  );

export type AccountKeys = z.output<typeof accountKeysSchema>;
