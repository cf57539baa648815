import { z } from 'zod';

/** An absolute path as a parameter: the kernel's own limit of length, and no NUL. */
export const absolutePath = z
  .string()
  .startsWith('/', 'must be an absolute path')
  .max(4096)
  .refine((path) => !path.includes('\0'), 'contains NUL');
