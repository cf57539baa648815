import { accessSync, statSync } from 'node:fs';
import { join } from 'node:path';

export type CommandStartFailure =
  | 'not_found'
  | 'not_executable'
  | 'directory_missing'
  | 'arguments_too_long'
  | 'not_started';

/** A shell would exit with these (POSIX, XCU 2.8.2). */
const exitStatuses: Record<CommandStartFailure, number> = {
  not_found: 127,
  not_executable: 126,
  directory_missing: 126,
  arguments_too_long: 126,
  not_started: 126,
};

/** Thrown when a program could not be started at all; nothing of it ran. */
export class CommandStartError extends Error {
  override name = 'CommandStartError';
  readonly failure: CommandStartFailure;

  constructor(failure: CommandStartFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }

  get exitStatus(): number {
    return exitStatuses[this.failure];
  }
}

/** What an error of `spawn` means; execve(2) says ENOENT for three different things. */
export function commandStartError(
  cause: NodeJS.ErrnoException,
  program: string,
  path: string,
  directory: string,
): CommandStartError {
  const fail = (failure: CommandStartFailure, message: string) =>
    new CommandStartError(failure, message, { cause });
  if (!isDirectory(directory)) {
    return fail('directory_missing', `${directory}: no such directory`);
  }
  switch (cause.code) {
    case 'ENOENT':
      return exists(program, path)
        ? fail('not_executable', `${program}: its interpreter is not there`)
        : fail('not_found', `${program}: not found`);
    case 'EACCES':
      return fail('not_executable', `${program}: not executable`);
    case 'ENOEXEC':
      return fail('not_executable', `${program}: not a program for this machine`);
    case 'E2BIG':
      return fail('arguments_too_long', `${program}: the arguments are too long`);
    default:
      return fail('not_started', `${program}: could not be started: ${cause.message}`);
  }
}

function exists(program: string, path: string): boolean {
  const candidates = program.includes('/')
    ? [program]
    : path.split(':').map((folder) => join(folder, program));
  return candidates.some((candidate) => {
    try {
      accessSync(candidate);
      return true;
    } catch {
      return false;
    }
  });
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
