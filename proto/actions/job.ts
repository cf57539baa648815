import { z } from 'zod';
import { uuidV7 } from '../documents/fields.ts';
import type { ActionDeclaration } from './declaration.ts';

/** How long a change that could cut the server off waits for its confirmation, unless the order says less. */
export const CONFIRM_WITHIN_SECONDS = 120;

/** Parameter of every action that is guarded on a running system. */
export const confirmWithinSeconds = z
  .int()
  .min(20)
  .max(CONFIRM_WITHIN_SECONDS)
  .default(CONFIRM_WITHIN_SECONDS)
  .describe(
    'on a running system: how long the change waits for its confirmation before it is taken back',
  );

/** Phases of the progress of a guarded job: not yet reached again, and waiting for `jobs confirm`. */
export const guardPhases = { unreached: 'unreached', confirm: 'confirm' } as const;

export const jobConfirmResult = z.strictObject({
  outcome: z.literal('kept'),
  job: uuidV7,
  detail: z.string().max(2000),
});

/**
 * Keeps what a guarded job changed. An order of its own, so that a control plane alone cannot keep a change that
 * cut everybody else off; it rests on the authorization of the job that it confirms, as an undo does.
 */
export const jobConfirm: ActionDeclaration = {
  id: 'job.confirm',
  version: 1,
  title: 'Keep a change',
  sentence:
    'Let a change stay that could have cut your server off and would take itself back. Part of the change itself: it needs no permission of its own.',
  class: 'B',
  planClass: 'B',
  plans: false,
  changes: false,
  undo: 'none',
  parameters: z.strictObject({
    job: uuidV7.describe('id of the job whose change waits; intervene jobs confirm fills it in'),
  }),
  result: jobConfirmResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: 'a second',
  capabilities: ['guard'],
};
