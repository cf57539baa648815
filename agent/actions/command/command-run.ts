import { constants } from 'node:os';
import type { commandRunParameters } from '../../../proto/actions/command.ts';
import type { z } from 'zod';
import { CommandStartError } from '../../process/command-start-error.ts';
import type { ActionContext, ActionImplementation, ActionResult } from '../../runner/action.ts';

type Parameters = z.output<typeof commandRunParameters>;

/** Carries out `command.run`: one argument vector, no shell. Its exit status is the job's. */
export const commandRun: ActionImplementation = { apply };

async function apply(context: ActionContext): Promise<ActionResult> {
  const { argv, directory } = context.spec.parameters as unknown as Parameters;
  const input = context.sealedInputs['stdin'];
  try {
    const { exitStatus, signal } = await context.run(argv, {
      ...(directory === undefined ? {} : { directory }),
      ...(input === undefined ? {} : { input }),
    });
    const status = exitStatus ?? 128 + constants.signals[signal!];
    return {
      succeeded: status === 0,
      reason: status === 0 ? null : 'exit_status',
      exitStatus: status,
      result: { exitStatus, signal },
    };
  } catch (error) {
    if (!(error instanceof CommandStartError)) throw error;
    context.note(error.message);
    return {
      succeeded: false,
      reason: `command_${error.failure}`,
      exitStatus: error.exitStatus,
      result: { exitStatus: error.exitStatus, signal: null },
    };
  }
}
