import { ConfigError } from '../../config.ts';
import type { UpOptions } from '../../config.ts';
import { up as runControlPlane } from '../../main.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';

/** `intervene up`: the control plane in this process, until it is told to stop. */
export async function up(
  context: CommandContext,
  _args: string[],
  options: UpOptions,
): Promise<void> {
  const { stdout, stderr } = context.surroundings;
  try {
    await runControlPlane(options, { out: stdout, talk: stderr, json: context.terminal.json });
  } catch (cause) {
    if (cause instanceof ConfigError) {
      throw usageError(
        `${cause.message}.`,
        [{ label: '', command: 'intervene up --help' }],
        'setting_invalid',
      );
    }
    throw new CliError({
      code: 'cannot_run',
      happened: `The control plane cannot run: ${cause instanceof Error ? cause.message : String(cause)}`,
      safe: 'What it had stored before is safe; jobs on servers go on.',
      next: [{ label: 'see its settings', command: 'intervene up --help' }],
      exitStatus: exitStatus.failed,
      cause,
    });
  }
}
