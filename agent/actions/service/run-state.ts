import { z } from 'zod';

export const RUN_STATE_FILE = 'run-state.json';

/** What ran before a restart. */
export const runStateSchema = z.strictObject({
  version: z.literal(1),
  unit: z.string(),
  wasUp: z.boolean(),
  /** Units that ran, too, and were restarted or stopped with it. */
  others: z.array(z.string()),
});
export type RunState = z.output<typeof runStateSchema>;
