const PROGRAM = 'intervene ';

/** A command to copy, as the person of this profile: without the flag it would be somebody else's. */
export function ownCommand(command: string, profile: string): string {
  if (!command.startsWith(PROGRAM) || profile === 'default') return command;
  if (/ --profile(?: |=|$)/.test(command)) return command;
  return `${PROGRAM}--profile ${profile} ${command.slice(PROGRAM.length)}`;
}
