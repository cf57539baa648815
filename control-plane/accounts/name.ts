import { z } from 'zod';

/**
 * How accounts, people and servers are called: what people can read aloud and type, in any script. A
 * slash would end the part of a path it stands in.
 */
export const nameSchema = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[^\p{C}\p{Zl}\p{Zp}/\\]+$/u, 'contains a slash or a control character')
  .refine((name) => name === name.trim(), 'begins or ends with a space')
  .refine((name) => !/^[0-9a-f-]{36}$/.test(name), 'looks like an id');
