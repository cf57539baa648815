import { constants, type Stats } from 'node:fs';
import { open, readdir, readlink, type FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';

/** Opens the name itself: nothing is read, no device is touched, no pipe waits (open(2)). */
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

const LINKS_MAX = 40;
const READ_MAX_BYTES = 256 * 1024;
const WHOLE_MAX_BYTES = 1024 * 1024;
const NAMES_MAX = 4096;
const PIECE_BYTES = 64 * 1024;

/** Thrown when something is there but is not what is read: no plain file, too long, a loop of links. */
export class TargetFileError extends Error {
  override name = 'TargetFileError';
}

/**
 * Files of the system under `root`, read as that system itself would see them: absolute links lead from that
 * root, and no name leads out of it. Reads plain files only, and only so much of them.
 */
export class TargetFiles {
  readonly root: string;

  constructor(root = '/') {
    this.root = root;
  }

  /** Text of a file, at most `maxBytes` of it; null when it is not there. */
  async read(path: string, maxBytes = READ_MAX_BYTES): Promise<string | null> {
    return (await this.readBytes(path, maxBytes))?.toString('utf8') ?? null;
  }

  /** As `read`, of a file that is no text. */
  async readBytes(path: string, maxBytes: number): Promise<Buffer | null> {
    const file = await this.openPlain(path);
    if (file === null) return null;
    try {
      return await readUpTo(file, maxBytes);
    } finally {
      await file.close();
    }
  }

  /** A plain file for reading, which the caller closes; null when it is not there. Waits for no pipe. */
  async openPlain(path: string): Promise<FileHandle | null> {
    const found = await this.find(path, true);
    if (found === null) return null;
    try {
      if (!(await found.stat()).isFile()) throw new TargetFileError(`${path} is no plain file`);
      return await open(`/proc/self/fd/${found.fd}`, O_RDONLY | O_NONBLOCK);
    } finally {
      await found.close();
    }
  }

  /**
   * The bytes of a file, all of them; null when it is not there. For what is written back: throws
   * TargetFileError where there are more than 1 MiB.
   */
  async readWhole(path: string): Promise<Buffer | null> {
    const bytes = await this.readBytes(path, WHOLE_MAX_BYTES + 1);
    if (bytes !== null && bytes.length > WHOLE_MAX_BYTES) {
      throw new TargetFileError(`${path} is longer than any file that is changed`);
    }
    return bytes;
  }

  /** Names in a folder, sorted, at most `maxNames`; empty when it is not there. */
  async list(path: string, maxNames = NAMES_MAX): Promise<string[]> {
    const found = await this.find(path, true);
    if (found === null) return [];
    try {
      if (!(await found.stat()).isDirectory()) return [];
      return (await readdir(`/proc/self/fd/${found.fd}`)).toSorted().slice(0, maxNames);
    } finally {
      await found.close();
    }
  }

  /** What a name leads to; null when nothing is there. */
  stat(path: string): Promise<Stats | null> {
    return this.status(path, true);
  }

  /** The name itself, a link unfollowed; null when it is not there. */
  lstat(path: string): Promise<Stats | null> {
    return this.status(path, false);
  }

  /** What a symbolic link says; null for anything else. */
  async readLink(path: string): Promise<string | null> {
    const parent = await this.find(posix.dirname(path), true);
    if (parent === null) return null;
    try {
      return await readlink(`/proc/self/fd/${parent.fd}/${posix.basename(path)}`).catch(() => null);
    } finally {
      await parent.close();
    }
  }

  /** Where a file of the target lies for a program that is given its name; null when it is not there. */
  async locate(path: string): Promise<string | null> {
    const found = await this.find(path, true);
    if (found === null) return null;
    try {
      return await readlink(`/proc/self/fd/${found.fd}`);
    } finally {
      await found.close();
    }
  }

  private async status(path: string, follow: boolean): Promise<Stats | null> {
    const found = await this.find(path, follow);
    if (found === null) return null;
    try {
      return await found.stat();
    } finally {
      await found.close();
    }
  }

  /** The caller closes it. Null when a part of the path is not there. */
  private async find(path: string, follow: boolean): Promise<FileHandle | null> {
    if (path.includes('\0')) throw new TargetFileError('a path holds NUL');
    try {
      // The kernel itself cannot be led out of the whole system.
      if (this.root === '/') return await open(path, O_PATH | (follow ? 0 : O_NOFOLLOW));
      return await this.walk(path, follow);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return null;
      if (code === 'ELOOP') throw new TargetFileError(`${path} is a loop of links`);
      throw error;
    }
  }

  /** Opens one name after the other below the root, following links by hand. */
  private async walk(path: string, follow: boolean): Promise<FileHandle> {
    let names = partsOf(path);
    let links = 0;
    const above: FileHandle[] = [await open(this.root, O_PATH | O_DIRECTORY)];
    try {
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        const parent = above.at(-1)!;
        if (name === '..') {
          if (above.length > 1) await above.pop()!.close();
          continue;
        }
        const place = `/proc/self/fd/${parent.fd}/${name}`;
        const next = await open(place, O_PATH | O_NOFOLLOW);
        above.push(next);
        if (!(await next.stat()).isSymbolicLink()) continue;
        if (names.length === 0 && !follow) break;
        if (++links > LINKS_MAX) throw new TargetFileError(`${path} is a loop of links`);
        await above.pop()!.close();
        const target = await readlink(place).catch(() => {
          throw new TargetFileError(`${path} changes while it is looked at`);
        });
        if (target.startsWith('/')) while (above.length > 1) await above.pop()!.close();
        names = [...partsOf(target), ...names];
      }
      return above.pop()!;
    } finally {
      for (const handle of above) await handle.close();
    }
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

async function readUpTo(file: FileHandle, maxBytes: number): Promise<Buffer> {
  // What lies in /proc and /sys has no size before it is read.
  const pieces: Buffer[] = [];
  for (let left = maxBytes; left > 0;) {
    const piece = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES));
    const { bytesRead } = await file.read(piece, 0, piece.length, null);
    if (bytesRead === 0) break;
    pieces.push(piece.subarray(0, bytesRead));
    left -= bytesRead;
  }
  return Buffer.concat(pieces);
}
