import { constants, type Dirent, type Stats } from 'node:fs';
import { open, readdir, readlink, type FileHandle } from 'node:fs/promises';

/** openat(2) with it opens a name without reading, writing or following what stands there; not in Node. */
const O_PATH = 0o10_000_000;
const { O_NOFOLLOW, O_DIRECTORY, O_RDONLY, O_NONBLOCK } = constants;
const MAX_LINKS = 40;

/** A path of a target that leads to nothing that may be worked on; the message is for people. */
export class TargetPathError extends Error {
  override name = 'TargetPathError';
  /** `missing` when a part of it is not there. */
  readonly why: 'missing' | 'foreign';

  constructor(why: 'missing' | 'foreign', message: string) {
    super(message);
    this.why = why;
  }
}

/** An open folder of a target: names in it stay names in it, whatever is renamed or linked meanwhile. */
export class TargetFolder {
  /** As the target itself would name it. */
  readonly path: string;
  private readonly handle: FileHandle;

  constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
  }

  /** For programs that are to reach the folder itself, whatever its name means by then (open(2), O_PATH). */
  get descriptor(): number {
    return this.handle.fd;
  }

  /** A path by which this process reaches one name in the folder. */
  entry(name: string): string {
    if (['', '.', '..'].includes(name) || /[/\0]/.test(name)) {
      throw new TargetPathError('foreign', `${JSON.stringify(name)} is no name in a folder`);
    }
    return `/proc/self/fd/${this.handle.fd}/${name}`;
  }

  list(): Promise<Dirent[]> {
    return readdir(`/proc/self/fd/${this.handle.fd}/.`, { withFileTypes: true });
  }

  /** Makes the names in it durable. */
  async sync(): Promise<void> {
    const readable = await open(`/proc/self/fd/${this.handle.fd}/.`, O_RDONLY | O_DIRECTORY);
    try {
      await readable.sync();
    } finally {
      await readable.close();
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/**
 * The root folder of a target operating system: `/` when it is the running one. Symlinks on the way are
 * resolved as the target itself would, by hand and part by part, so that none leads out of it.
 */
export class TargetRoot {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Opens a folder; `path` is absolute in the target. Throws TargetPathError. The caller closes it. */
  async openFolder(path: string): Promise<TargetFolder> {
    const way = new Way(await open(this.path, O_PATH | O_DIRECTORY));
    try {
      await way.go(path);
      return way.end();
    } finally {
      await way.close();
    }
  }
}

/** The folders from the root of a target to where a walk has come. */
class Way {
  private readonly handles: FileHandle[];
  private readonly names: string[] = [];
  private links = 0;

  constructor(root: FileHandle) {
    this.handles = [root];
  }

  async go(path: string): Promise<void> {
    if (path.includes('\0')) throw new TargetPathError('foreign', 'a path holds NUL');
    const ahead = path.split('/');
    for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
      if (name === '' || name === '.') continue;
      if (name === '..') await this.back();
      else ahead.unshift(...(await this.enter(name, path)));
    }
  }

  /** Hands over the last folder; the others are closed with the way. */
  end(): TargetFolder {
    const last = this.handles.pop()!;
    return new TargetFolder(`/${this.names.join('/')}`, last);
  }

  async close(): Promise<void> {
    await Promise.all(this.handles.splice(0).map((handle) => handle.close()));
  }

  /** Returns the parts of the path that a symlink stands for. */
  private async enter(name: string, whole: string): Promise<string[]> {
    const at = `/proc/self/fd/${this.handles.at(-1)!.fd}/${name}`;
    const next = await open(at, O_PATH | O_NOFOLLOW).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      throw new TargetPathError('missing', `${whole} is not there`);
    });
    const found: Stats = await next.stat();
    if (found.isDirectory()) {
      this.handles.push(next);
      this.names.push(name);
      return [];
    }
    await next.close();
    if (!found.isSymbolicLink()) {
      throw new TargetPathError('foreign', `${name} in ${whole} is no folder`);
    }
    if (++this.links > MAX_LINKS) {
      throw new TargetPathError('foreign', `${whole} leads over too many symlinks`);
    }
    const leadsTo = await readlink(at).catch(() => {
      throw new TargetPathError('foreign', `${name} in ${whole} changes while it is looked at`);
    });
    if (leadsTo.startsWith('/')) while (this.names.length > 0) await this.back();
    return leadsTo.split('/');
  }

  private async back(): Promise<void> {
    if (this.names.length === 0) return;
    this.names.pop();
    await this.handles.pop()!.close();
  }
}

/**
 * Opens a plain file of one name in a folder. Null when nothing is there. Throws TargetPathError for
 * anything else: a symlink, a pipe, a device, a file with further names.
 */
export async function openPlainFile(
  folder: TargetFolder,
  name: string,
): Promise<FileHandle | null> {
  const path = `${folder.path === '/' ? '' : folder.path}/${name}`;
  const foreign = (what: string) => new TargetPathError('foreign', `${path} is ${what}`);
  // Before it is opened for reading it must be known to be no device: opening one may do something.
  const there = await open(folder.entry(name), O_PATH | O_NOFOLLOW).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    },
  );
  if (there === null) return null;
  try {
    const found = await there.stat();
    if (found.isSymbolicLink()) {
      throw foreign(`a symlink to ${await readlink(folder.entry(name))}`);
    }
    if (!found.isFile()) throw foreign('no plain file');
    if (found.nlink !== 1) throw foreign('a file that has further names (hard links)');
    return await open(`/proc/self/fd/${there.fd}`, O_RDONLY | O_NONBLOCK);
  } finally {
    await there.close();
  }
}
