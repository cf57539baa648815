import { z } from 'zod';
import { ed25519KeySchema } from '../keys.ts';
import { digest, name, timestamp } from '../fields.ts';

/** What a root key may sign besides the next root. */
const rootDelegation = z.enum(['lead', 'engineer', 'revoke', 'voucher']);

/**
 * The operator's root of trust. Version 1 is pinned by digest when an agent is installed; each later one
 * names its predecessor and carries signatures of both the old and the new threshold.
 */
export const rootSchema = z
  .strictObject({
    version: z.int().min(1).max(1_000_000),
    previous: digest.nullable(),
    issuedAt: timestamp,
    threshold: z.int().min(1).max(8),
    keys: z
      .array(z.strictObject({ key: ed25519KeySchema, name, may: z.array(rootDelegation).max(4) }))
      .min(1)
      .max(16),
  })
  .refine(
    (root) => (root.version === 1) === (root.previous === null),
    'only version 1 has no predecessor',
  )
  .refine((root) => root.threshold <= root.keys.length, 'the threshold exceeds the number of keys')
  .refine(
    (root) => new Set(root.keys.map((entry) => entry.key.public)).size === root.keys.length,
    'a key stands twice',
  );

export type Root = z.output<typeof rootSchema>;
