import { usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { bashCompletion, fishCompletion, zshCompletion } from '../completion-script.ts';

const scripts: Record<string, () => string> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** `intervene completion SHELL`: a script for the shell to read. */
export async function completion(context: CommandContext, [shell = '']: string[]): Promise<void> {
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
  if (script === undefined) {
    throw usageError(
      `There are completions for ${Object.keys(scripts).join(', ')}, not for ${JSON.stringify(shell)}.`,
      [{ label: '', command: 'intervene completion bash' }],
    );
  }
  await context.terminal.writeOutput(script());
}
