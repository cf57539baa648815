import fs from 'node:fs';

/** Thrown for what stands where a file of a job should be and is none: a job can put anything there. */
export class ForeignFileError extends Error {
  override name = 'ForeignFileError';
}

const { O_NOFOLLOW, O_NONBLOCK, O_TRUNC } = fs.constants;
/** A symlink, a pipe without reader, a socket, a folder (open(2)). */
const FOREIGN = new Set(['ELOOP', 'ENXIO', 'EISDIR', 'ENODEV', 'ENOTDIR']);

/**
 * Opens a file in a job's folder, made with mode 0600 if `flags` say so, and returns its descriptor. Never
 * follows a symlink nor waits for a pipe. Throws ForeignFileError unless it is a plain file of one name and
 * at most `maxBytes`, and the system's error when it cannot be opened.
 */
export function openOwnFile(path: string, flags: number, maxBytes = Infinity): number {
  let fd: number;
  try {
    fd = fs.openSync(path, (flags & ~O_TRUNC) | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (error) {
    if (!FOREIGN.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new ForeignFileError(`${path} is no plain file`, { cause: error });
  }
  try {
    const found = fs.fstatSync(fd);
    if (!found.isFile() || found.nlink !== 1) {
      throw new ForeignFileError(`${path} is no plain file of one name`);
    }
    if (found.size > maxBytes) throw new ForeignFileError(`${path} has ${found.size} bytes`);
    if ((flags & O_TRUNC) !== 0) fs.ftruncateSync(fd, 0);
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** Everything in such a file. Throws as `openOwnFile` does. */
export function readOwnFile(path: string, maxBytes: number): Buffer {
  const fd = openOwnFile(path, fs.constants.O_RDONLY, maxBytes);
  try {
    const bytes = Buffer.alloc(fs.fstatSync(fd).size);
    return bytes.subarray(0, fs.readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    fs.closeSync(fd);
  }
}
