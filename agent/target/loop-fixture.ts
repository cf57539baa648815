import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

const SECTOR_BYTES = 512;
let count = 0;

/**
 * Some sectors more than others have: an image as long as a loop device whose file cannot be seen is taken
 * for that file, and tests run beside each other.
 */
export function unusualBytes(): number {
  return ((process.pid * 61 + count++) % 4096) * SECTOR_BYTES;
}

/** Loop devices, mounts and image files of one test; all are gone when it is closed. Needs root. */
export class LoopFixture {
  readonly folder: string;
  private readonly undo: (() => Promise<unknown>)[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<LoopFixture> {
    return new LoopFixture(await realpath(await mkdtemp(join(tmpdir(), 'ivl-'))));
  }

  async close(): Promise<void> {
    for (const act of this.undo.toReversed()) await act();
    await rm(this.folder, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async file(name: string, bytes: number): Promise<string> {
    const file = await open(this.path(name), 'w');
    await file.truncate(bytes);
    await file.close();
    return this.path(name);
  }

  async ext4(name: string, mebibytes = 8): Promise<string> {
    const path = await this.file(name, mebibytes * 1024 * 1024 + unusualBytes());
    await this.run('mke2fs', '-q', '-F', '-t', 'ext4', '-b', '1024', path, `${mebibytes}M`);
    return path;
  }

  async loop(file: string, ...options: string[]): Promise<string> {
    const device = (await this.run('losetup', '--find', '--show', ...options, file)).trim();
    this.undo.push(() => this.run('losetup', '--detach', device).catch(() => undefined));
    return device;
  }

  async mount(...words: string[]): Promise<string> {
    const point = this.path(`mount-${this.undo.length}`);
    await mkdir(point, { recursive: true });
    await this.mountAt(point, ...words);
    return point;
  }

  async mountAt(point: string, ...words: string[]): Promise<void> {
    await this.run('mount', ...words, point);
    this.undo.push(() => this.run('umount', '--lazy', point).catch(() => undefined));
  }

  async run(program: string, ...words: string[]): Promise<string> {
    const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    return (await execute(program, words, { env: { PATH, LANG: 'C.UTF-8' } })).stdout;
  }
}
