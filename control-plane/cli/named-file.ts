import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { shell } from '../../proto/documents/command-text.ts';
import { CliError } from './cli-error.ts';
import { exitStatus } from './exit-status.ts';

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  ELOOP: 'its symbolic links lead nowhere',
  ENAMETOOLONG: 'the name is too long',
  EEXIST: 'there is something of that name already, which is not overwritten',
  EROFS: 'it lies where nothing can be written',
  ENOSPC: 'no space is left',
};

/** Why a file could not be used, in words where there are any (errno, intro(2)). */
export function fileTrouble(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return reasons[code ?? ''] ?? code ?? String(error);
}

/**
 * The bytes of a file that a person named; `-` is standard input. Throws CliError `file_unreadable`, exit status 2.
 *
 * @param safe what is safe, where more was done before than nothing
 */
export function readNamedFile(path: string, safe?: string): Buffer {
  try {
    return readFileSync(path === '-' ? 0 : path);
  } catch (error) {
    throw fileUnreadable(path, error, safe);
  }
}

/** The same as text (UTF-8). */
export function readNamedText(path: string, safe?: string): string {
  return readNamedFile(path, safe).toString('utf8');
}

export function fileUnreadable(path: string, cause: unknown, safe?: string): CliError {
  return fileError('unreadable', path, path, cause, safe);
}

export function fileUnwritable(path: string, cause: unknown, safe?: string): CliError {
  const { code } = cause as NodeJS.ErrnoException;
  if (code !== 'ENOENT') return fileError('unwritable', path, path, cause, safe);
  return fileError('unwritable', path, dirname(path), 'there is no such folder', safe);
}

/**
 * Throws CliError `file_unwritable` where no new file of this name can be made, before what it is for is begun.
 * The file is not made: one that stays empty would be taken for what it should hold.
 */
export function requireNewFile(path: string, safe?: string): void {
  const folder = dirname(path);
  try {
    if (existsSync(path)) throw Object.assign(new Error('exists'), { code: 'EEXIST' });
    if (!statSync(folder).isDirectory()) {
      throw Object.assign(new Error('no folder'), { code: 'ENOTDIR' });
    }
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw fileUnwritable(path, error, safe);
  }
}

/** Runs what writes a file that a person named, and tells its failures as `file_unwritable`. */
export function writingNamedFile<T>(path: string, write: () => T, safe?: string): T {
  try {
    return write();
  } catch (error) {
    throw fileUnwritable(path, error, safe);
  }
}

function fileError(
  what: 'unreadable' | 'unwritable',
  path: string,
  /** What there is to look at. */
  place: string,
  cause: unknown,
  safe: string | undefined,
): CliError {
  const why = typeof cause === 'string' ? cause : fileTrouble(cause);
  const named = path === '-' ? 'Standard input' : path;
  return new CliError({
    code: `file_${what}`,
    happened: `${named} cannot be ${what === 'unreadable' ? 'read' : 'written'}: ${why}.`,
    ...(safe !== undefined && { safe }),
    next: path === '-' ? [] : [{ label: 'check the path', command: shell`ls -ld ${place}` }],
    exitStatus: exitStatus.usage,
    cause,
  });
}
