import { z } from 'zod';

/**
 * What became of a repair that changes files. `rolled_back`: it did not hold, and everything is as before;
 * `restored`: an undo put everything back.
 */
export const fileRepairResult = z.strictObject({
  outcome: z.enum(['repaired', 'nothing_to_do', 'rolled_back', 'restored']),
  /** Files and links that were changed, by path in the target. */
  files: z.array(z.string().max(4096)).max(256),
  detail: z.string().max(2000),
});
export type FileRepairResult = z.output<typeof fileRepairResult>;
