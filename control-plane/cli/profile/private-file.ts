import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { CliError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';

const MAX_BYTES = 1024 * 1024;

/** Makes a folder that only its owner may enter. Throws CliError when it is there and others may. */
export function ensurePrivateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  requirePrivateFolder(folder);
}

function requirePrivateFolder(folder: string): void {
  const found = statSync(folder);
  if (found.uid !== process.geteuid?.() || (found.mode & 0o077) !== 0) {
    throw insecure(folder, found.mode, 'chmod 700');
  }
}

/**
 * Reads a file that holds a secret. Refuses one that belongs to somebody else, that others may read or
 * write, that is a symbolic link, or whose folder others may enter.
 *
 * @returns null when there is no such file
 */
export function readPrivateFile(path: string): string | null {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return null;
    if (code === 'ELOOP') {
      throw new CliError({
        code: 'insecure_file',
        happened: `${path} is a symbolic link; files with secrets must lie where they are named.`,
        exitStatus: exitStatus.refused,
      });
    }
    throw error;
  }
  try {
    const found = fstatSync(file);
    if (!found.isFile() || found.uid !== process.geteuid?.() || (found.mode & 0o077) !== 0) {
      throw insecure(path, found.mode, 'chmod 600');
    }
    if (found.size > MAX_BYTES) {
      throw new CliError({ code: 'file_too_large', happened: `${path} is larger than 1 MiB.` });
    }
    requirePrivateFolder(dirname(path));
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/** Writes a file that only its owner may read, whole or not at all, on disk when this returns. */
export function writePrivateFile(path: string, content: string): void {
  ensurePrivateFolder(dirname(path));
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const file = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(file, content);
    fsyncSync(file);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

function insecure(path: string, mode: number, remedy: string): CliError {
  return new CliError({
    code: 'insecure_file',
    happened: `${path} belongs to somebody else, or others may use it (mode ${(mode & 0o7777).toString(8)}).`,
    safe: 'Nothing was read from it.',
    next: [{ label: 'once you know why', command: `${remedy} ${path}` }],
    exitStatus: exitStatus.refused,
  });
}
