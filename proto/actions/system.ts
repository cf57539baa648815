import { z } from 'zod';
import type { ActionDeclaration } from './declaration.ts';

export const systemRebootParameters = z.strictObject({
  delaySeconds: z
    .int()
    .min(5)
    .max(3600)
    .default(15)
    .describe('how long the job waits before the server goes down; until then it can be cancelled'),
});

/** Of a job that ended while the server was up: else its end is written after the boot. */
export const systemRebootResult = z.strictObject({
  outcome: z.literal('still_up'),
  detail: z.string().max(2000),
});

/**
 * The job goes on over the boot: it has succeeded when the agent is back, and a server that does not come back
 * leaves it open.
 */
export const systemReboot: ActionDeclaration = {
  id: 'system.reboot',
  version: 1,
  title: 'Reboot the server',
  sentence:
    'Shut your server down in good order and boot it again. Everybody is cut off meanwhile, and what was not saved is lost.',
  class: 'B',
  planClass: 'A',
  plans: true,
  changes: true,
  undo: 'none',
  parameters: systemRebootParameters,
  result: systemRebootResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'now',
  usualDuration: '1 to 10 minutes',
  capabilities: ['host'],
  alone: true,
};
