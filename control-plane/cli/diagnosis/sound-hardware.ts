import { failingHardware, type Finding } from '../../../proto/actions/diagnostics.ts';
import { commandText } from '../../../proto/documents/command-text.ts';
import { CliError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';

/** @param words options that the diagnosis was ordered with */
export function requireSoundHardware(
  findings: readonly Finding[],
  server: string,
  words: readonly string[],
): void {
  const [failing] = failingHardware(findings);
  if (failing === undefined) return;
  throw new CliError({
    code: 'hardware_failing',
    happened: `${failing.title}. Nothing is repaired on hardware that fails: every write may cost data.`,
    safe: 'Nothing was ordered.',
    next: [
      {
        label: 'read the findings',
        command: commandText(['intervene', 'diagnose', server, ...words]),
      },
    ],
    exitStatus: exitStatus.failed,
  });
}
