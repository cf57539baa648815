import { mkdir } from 'node:fs/promises';
import { ActionError, type ActionContext } from '../../runner/action.ts';

/** A hostile file system may keep the kernel busy; replaying a journal may rightly take a while. */
const MOUNT_WITHIN_MS = 5 * 60_000;

/** How each type is looked at without a byte of it changing: no journal is replayed (mount(8)). */
const LOOK: Readonly<Record<string, string>> = {
  ext2: 'ro,noload',
  ext3: 'ro,noload',
  ext4: 'ro,noload',
  xfs: 'ro,norecovery,nouuid',
  btrfs: 'ro,rescue=nologreplay',
  vfat: 'ro',
};
const WRITE: Readonly<Record<string, string>> = {
  ext2: 'rw',
  ext3: 'rw',
  ext4: 'rw',
  xfs: 'rw,nouuid',
  btrfs: 'rw',
  vfat: 'rw',
};
/**
 * What a disk says is to be done on errors counts for nothing: it may say `panic`, which would take this whole
 * machine down (ext4(5)). The others say nothing of that kind on the disk.
 */
const ON_ERRORS = ['ext2', 'ext3', 'ext4'];
/** No set-user-id program and no device node of a client's disk ever means anything here. */
const ALWAYS = 'nosuid,nodev';

export function isMountable(type: string | null): type is string {
  return type !== null && Object.hasOwn(LOOK, type);
}

type Context = Pick<ActionContext, 'run' | 'signal'>;

/**
 * What is mounted for one job, in its private mount namespace; taken apart in the reverse order. When the
 * job is killed the kernel does it.
 */
export class Mounts {
  private readonly context: Context;
  private readonly points: string[] = [];

  constructor(context: Context) {
    this.context = context;
  }

  /** @param point a folder, made when it is not there. Throws ActionError `not_mounted`. */
  async mount(
    node: string,
    type: string,
    point: string,
    { write, options = [] }: { write: boolean; options?: readonly string[] },
  ): Promise<void> {
    const base = (write ? WRITE : LOOK)[type];
    if (base === undefined) {
      throw new ActionError('not_mounted', `${node} holds ${type}, which is not mounted here`);
    }
    const onErrors = ON_ERRORS.includes(type) ? ['errors=remount-ro'] : [];
    const all = [base, ALWAYS, ...onErrors, ...options].join(',');
    await this.put(['-t', type, '-o', all, node], point, node);
  }

  /** A folder in memory, of which it takes at most half (tmpfs(5)), without device nodes. */
  async mountScratch(point: string): Promise<void> {
    await this.put(['-t', 'tmpfs', '-o', `mode=700,size=50%,${ALWAYS}`, 'tmpfs'], point, 'memory');
  }

  /**
   * What lies in `lower`, so that what is written goes to `upper` alone: whole files, and `work` is the
   * kernel's own. Nothing may write to `lower` meanwhile.
   */
  async mountOver(
    { lower, upper, work }: { lower: string; upper: string; work: string },
    point: string,
  ): Promise<void> {
    for (const path of [lower, upper, work]) {
      if (/[,:\\]/.test(path)) {
        throw new ActionError('not_mounted', `${path} has a name that mount(8) takes apart`);
      }
    }
    const layers = [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${work}`];
    const plain = ['metacopy=off', 'redirect_dir=off', 'index=off'];
    const all = [...layers, ...plain, ALWAYS].join(',');
    await this.put(['-t', 'overlay', '-o', all, 'overlay'], point, lower);
  }

  /** A folder at another place, read-only there; with `data`, nothing of it can be run or loaded as a program. */
  async mountAgain(folder: string, point: string, as?: 'data'): Promise<void> {
    const all = ['bind', 'ro', ALWAYS, ...(as === 'data' ? ['noexec'] : [])].join(',');
    await this.put(['-o', all, folder], point, folder);
  }

  /** The variables of this machine's firmware (efivarfs). */
  async mountFirmware(point: string, { write }: { write: boolean }): Promise<void> {
    const all = [write ? 'rw' : 'ro', 'noexec', ALWAYS].join(',');
    await this.put(['-t', 'efivarfs', '-o', all, 'efivarfs'], point, 'the memory of the firmware');
  }

  private async put(words: readonly string[], point: string, what: string): Promise<void> {
    await mkdir(point, { recursive: true });
    const done = await this.context.run(['mount', '--internal-only', ...words, point], {
      output: 'capture',
      signal: this.context.signal,
      timeoutMs: MOUNT_WITHIN_MS,
    });
    if (done.exitStatus !== 0) {
      const why = done.timedOut ? 'it took too long' : done.err.trim().slice(0, 500);
      throw new ActionError('not_mounted', `${what} cannot be mounted: ${why}`);
    }
    this.points.push(point);
  }

  /** A small folder in memory, where device nodes work. Throws ActionError `not_mounted`. */
  async mountMemory(point: string): Promise<void> {
    const done = await this.context.run(
      ['mount', '--internal-only', '-t', 'tmpfs', '-o', 'mode=0755,size=256k', 'tmpfs', point],
      { output: 'capture' },
    );
    if (done.exitStatus !== 0) throw new ActionError('not_mounted', done.err.trim().slice(0, 500));
    this.points.push(point);
  }

  async unmount(point: string): Promise<void> {
    const done = await this.context.run(['umount', '--internal-only', '--', point], {
      output: 'capture',
    });
    if (done.exitStatus !== 0) {
      throw new ActionError('not_unmounted', `${point} stays mounted: ${done.err.trim()}`);
    }
    this.points.splice(this.points.lastIndexOf(point), 1);
  }

  /** Throws ActionError `not_unmounted`: what was written may then not be on the disk. */
  async unmountAll(): Promise<void> {
    for (const point of this.points.toReversed()) await this.unmount(point);
  }
}
