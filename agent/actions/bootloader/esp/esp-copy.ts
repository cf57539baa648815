import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CommandStartError } from '../../../process/command-start-error.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { inspectDevice } from '../../../target/block-device.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import { openDevice } from '../../filesystem/device-io.ts';
import { scratchFolder, usableBytes } from '../../filesystem/scratch-space.ts';
import { copySparsely } from '../../filesystem/sparse-copy.ts';

type Context = Pick<ActionContext, 'directory' | 'progress' | 'run' | 'signal'>;

/** Larger ones are none that anybody makes. */
const ESP_MAX_BYTES = 4 * 1024 ** 3;
/** More than a kernel with its initramfs in one program. */
const READ_MAX_BYTES = 128 * 1024 ** 2;
const DEPTH_MAX = 16;
const BLOCK_BYTES = 4096;

/**
 * A copy of an EFI partition in the job's folder, read and changed there by mtools(1): the kernel may know no
 * FAT, and what goes wrong goes wrong on the copy. mtools sees nothing else that it could write to, since what
 * it reads comes from a client's disk.
 */
export class EspCopy {
  readonly image: string;
  private readonly folder: string;
  private readonly context: Context;

  private constructor(context: Context, folder: string) {
    this.context = context;
    this.folder = folder;
    this.image = join(folder, 'image');
  }

  /**
   * Gives a copy for as long as `body` runs. Throws ActionError `boot_not_supported` for one that is too large,
   * `filesystem_damaged` for one that its check has words for, and `tool_missing`.
   */
  static async with<T>(
    context: Context,
    volume: Volume,
    body: (copy: EspCopy) => Promise<T>,
  ): Promise<T> {
    if (volume.type !== 'vfat' || volume.bytes > ESP_MAX_BYTES) {
      const why = `${volume.name} is no EFI partition that can be repaired: it holds no FAT, or is too large`;
      throw new ActionError('boot_not_supported', why);
    }
    const scratch = await scratchFolder(context);
    const folder = join(scratch, 'esp');
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { mode: 0o700 });
    try {
      const copy = new EspCopy(context, folder);
      const device = await inspectDevice(volume.node);
      const source = await openDevice(device, 'read');
      try {
        await copySparsely(context, device, source, copy.image, await usableBytes(scratch));
      } finally {
        await source.close();
      }
      const fault = await copy.findFault();
      if (fault !== null) {
        const why = `the file system of ${volume.name} has to be repaired first: ${fault}`;
        throw new ActionError('filesystem_damaged', why);
      }
      return await body(copy);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** What the check of its file system says; null when that finds nothing. */
  async findFault(): Promise<string | null> {
    const done = await this.confined(['fsck.fat', '-n', this.image]);
    return done.exitStatus === 0 ? null : `${done.out}\n${done.err}`.trim().slice(-300);
  }

  /**
   * Every file of it, by its path in lower case, since FAT makes no difference: `efi/debian/grub.cfg`. Throws
   * ActionError `no_scratch_space`: a file of zeros takes no room in the copy, and all of it outside.
   */
  async files(): Promise<EspFiles> {
    const out = join(this.folder, 'files');
    await rm(out, { recursive: true, force: true });
    await mkdir(out, { mode: 0o700 });
    const [need, room] = [await this.bytesOfFiles(), await usableBytes(out)];
    if (need > room) {
      const why = `the files of the EFI partition need ${need} bytes to be looked at, and there are ${room}`;
      throw new ActionError('no_scratch_space', why);
    }
    await this.succeed(['mcopy', '-i', this.image, '-s', '-n', '-Q', '::/', out]);
    const found = new Map<string, { digest: string; place: string }>();
    const walk = async (folder: string, depth: number): Promise<void> => {
      if (depth > DEPTH_MAX)
        throw new ActionError('boot_not_supported', 'its folders lie too deep');
      for (const entry of await readdir(join(out, folder), { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) await walk(path, depth + 1);
        else if (entry.isFile()) {
          const hash = createHash('sha256');
          await pipeline(createReadStream(join(out, path)), hash);
          found.set(path.toLowerCase(), { digest: hash.digest('hex'), place: join(out, path) });
        }
      }
    };
    await walk('', 0);
    return new EspFiles(found);
  }

  /** Writes a file, over what has its name. Throws ActionError `esp_full`. */
  async write(path: string, bytes: Buffer): Promise<void> {
    const own = join(this.folder, 'new');
    await writeFile(own, bytes, { mode: 0o600 });
    const folders = path.split('/').slice(0, -1);
    for (const [at] of folders.entries()) {
      const folder = `::/${folders.slice(0, at + 1).join('/')}`;
      const isThere = await this.confined(['mdir', '-i', this.image, '-b', folder]);
      if (isThere.exitStatus !== 0) await this.succeed(['mmd', '-i', this.image, folder]);
    }
    await this.succeed(['mcopy', '-i', this.image, '-o', '-Q', own, `::/${path}`]);
  }

  /** The room that all its files take once they are copied out, each to a whole block. */
  private async bytesOfFiles(): Promise<number> {
    const listed = await this.confined(['mdir', '-i', this.image, '-a', '-f', '-/', '::/']);
    // So it says where there is not a single file.
    if (listed.exitStatus !== 0 && listed.err.includes('File "::/" not found')) return 0;
    // The last line is about all folders, or about the only one.
    const sum = /^ *(\d[\d ]*) files? +(\d[\d ]*) bytes\s*$(?![^])/m.exec(listed.out);
    if (listed.exitStatus !== 0 || listed.truncated || sum === null) {
      const why =
        'what lies on the EFI partition cannot be listed, or is more than ever lies on one';
      throw new ActionError('boot_not_supported', why);
    }
    const [files, bytes] = sum.slice(1).map((number) => Number(number.replaceAll(' ', '')));
    return files! * BLOCK_BYTES + bytes!;
  }

  private async succeed(argv: readonly string[]): Promise<void> {
    const done = await this.confined(argv);
    if (done.exitStatus === 0) return;
    const isFull = /disk full|no space/i.test(done.err);
    throw new ActionError(
      isFull ? 'esp_full' : 'tool_failed',
      isFull
        ? 'there is no room on the EFI partition: remove what nobody needs there first'
        : `${argv[0]} ended with ${done.exitStatus}: ${done.err.trim().slice(-300)}`,
    );
  }

  private async confined(argv: readonly string[]) {
    const around = ['--unshare-pid', '--die-with-parent', '--ro-bind', '/', '/', '--dev', '/dev'];
    const own = ['--bind', this.folder, this.folder, '--cap-drop', 'ALL'];
    try {
      const done = await this.context.run(['bwrap', ...around, ...own, '--', ...argv], {
        output: 'capture',
        signal: this.context.signal,
      });
      if (!/execvp \S+: No such file/.test(done.err)) return done;
    } catch (error) {
      if (!(error instanceof CommandStartError)) throw error;
    }
    throw new ActionError('tool_missing', `${argv[0]} is not installed on this machine`);
  }
}

/** What lay on an EFI partition when it was looked at; gone with its copy. */
export class EspFiles {
  private readonly found: ReadonlyMap<string, { digest: string; place: string }>;

  constructor(found: ReadonlyMap<string, { digest: string; place: string }>) {
    this.found = found;
  }

  get paths(): string[] {
    return [...this.found.keys()].toSorted();
  }

  digest(path: string): string | null {
    return this.found.get(path.toLowerCase())?.digest ?? null;
  }

  /** Null when it is not there. Throws ActionError `boot_not_supported` for one that is too large to be a loader. */
  async read(path: string): Promise<Buffer | null> {
    const file = this.found.get(path.toLowerCase());
    if (file === undefined) return null;
    const { size } = await stat(file.place);
    if (size <= READ_MAX_BYTES) return readFile(file.place);
    const why = `${path} on the EFI partition has ${size} bytes, and no loader has more than ${READ_MAX_BYTES}: remove it, or repair this by hand`;
    throw new ActionError('boot_not_supported', why);
  }
}
