import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { must, run } from '../harness/process.ts';
import type { Finished } from '../harness/process.ts';

export interface SystemMount {
  /** A block device; or an image file with the place of a file system in it, in bytes. */
  source: string;
  part?: { offset: number; size: number };
  /** Place inside the system, `/` first. */
  at: string;
  options?: readonly string[];
}

export interface MountOptions {
  /** Block devices that the system's own programs may see; without, they see none. */
  devices?: readonly string[];
  /** What is written lies in memory and is gone afterwards; the first mount must be read-only. */
  overMemory?: boolean;
  /** Nothing is mounted but the file systems: its own programs find no /proc and the like. */
  bare?: boolean;
}

const SEARCH_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Holds the mounts for as long as its standard input is open. $1: the root; $2: how, of `plain`, `memory`
 * and `bare`; then `options source at`.
 */
const HOLD = `
root=$1 how=$2; shift 2
while [ $# -gt 0 ]; do
  mkdir -p "$root$3"
  mount -o "$1" "$2" "$root$3"
  if [ "$how" = memory ]; then
    layers=$(mktemp -d)
    mount -t tmpfs tmpfs "$layers"
    mkdir "$layers/upper" "$layers/work" "$layers/lower"
    mount --move "$root$3" "$layers/lower"
    mount -t overlay -o "lowerdir=$layers/lower,upperdir=$layers/upper,workdir=$layers/work" overlay "$root$3"
  fi
  shift 3
done
if [ "$how" != bare ] && [ -d "$root/dev" ]; then
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    set -- $(echo "$node" | tr : ' ')
    mknod -m 666 "$root/dev/$1" c "$2" "$3"
  done
  ln -s /proc/self/fd "$root/dev/fd"
  mkdir -p "$root/dev/disk/by-uuid"
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
fi
echo mounted
cat
umount --recursive "$root"
`;

/**
 * The file systems of a disk, mounted in a mount namespace of their own; all is taken apart when the
 * process that did it ends, however it ends. For what tests do to a system they trust: paths are followed
 * as the kernel follows them, from this machine's root.
 */
export class MountedSystem {
  private readonly holder: ChildProcess;
  private readonly mountPoint: string;

  private constructor(holder: ChildProcess, mountPoint: string) {
    this.holder = holder;
    this.mountPoint = mountPoint;
  }

  static async open(
    mounts: readonly SystemMount[],
    options: MountOptions = {},
  ): Promise<MountedSystem> {
    const mountPoint = mkdtempSync(path.join(tmpdir(), 'iv-system-'));
    const how = options.bare === true ? 'bare' : options.overMemory === true ? 'memory' : 'plain';
    const words = mounts.flatMap((mount) => [optionsOf(mount), mount.source, mount.at]);
    const holder = spawn(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-ec', HOLD, 'sh', mountPoint, how, ...words],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    let said = '';
    holder.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const ended = once(holder, 'close').then(([status]) => {
      throw new Error(`mounting ended with ${status}: ${said}`);
    });
    await Promise.race([once(holder.stdout, 'data'), ended]);
    ended.catch(() => {});
    const system = new MountedSystem(holder, mountPoint);
    await system.showDevices(options.devices ?? []);
    return system;
  }

  /** The root folder, seen from here. */
  get root(): string {
    return `/proc/${this.holder.pid}/root${this.mountPoint}`;
  }

  /** A path of the system, seen from here. */
  path(file: string): string {
    return path.join(this.root, file);
  }

  read(file: string): string {
    return readFileSync(this.path(file), 'utf8');
  }

  write(file: string, text: string | Buffer, mode?: number): void {
    writeFileSync(this.path(file), text, { mode });
  }

  /** Changes the text of a file; throws where that changes nothing. */
  edit(file: string, change: (text: string) => string): void {
    const text = this.read(file);
    const changed = change(text);
    if (changed === text) throw new Error(`${file} has nothing of what was to be changed`);
    this.write(file, changed);
  }

  /** Runs a program of this machine; in its words `R` alone or before a `/` is the system's root. */
  async host(argv: readonly string[], input = ''): Promise<Finished> {
    return run(this.argvOnHost(argv), { input, timeoutMs: 300_000 });
  }

  /** `host`, and anything but exit status 0 throws. */
  async hostOk(argv: readonly string[], input = ''): Promise<string> {
    return must(this.argvOnHost(argv), { input, timeoutMs: 300_000 });
  }

  /** Runs a program of the system itself. It sees the devices given to `open`, and no others. */
  async inside(argv: readonly string[], input = ''): Promise<Finished> {
    return run(this.argvInside(argv), { input, timeoutMs: 300_000 });
  }

  /** `inside`, and anything but exit status 0 throws. */
  async ok(argv: readonly string[], input = ''): Promise<string> {
    return must(this.argvInside(argv), { input, timeoutMs: 300_000 });
  }

  async close(): Promise<void> {
    const ended = once(this.holder, 'close');
    this.holder.stdin!.end();
    const [status] = (await ended) as [number | null];
    if (status !== 0) throw new Error(`${this.mountPoint} could not be taken apart`);
    rmdirSync(this.mountPoint);
  }

  private inNamespace(): readonly string[] {
    return ['nsenter', `--mount=/proc/${this.holder.pid}/ns/mnt`, '--'];
  }

  private argvOnHost(argv: readonly string[]): readonly string[] {
    const words = argv.map((word) => word.replace(/(^|=)R(?=\/|$)/, `$1${this.mountPoint}`));
    return [...this.inNamespace(), ...words];
  }

  private argvInside(argv: readonly string[]): readonly string[] {
    const clean = ['env', '-i', SEARCH_PATH, 'HOME=/root', 'LANG=C.UTF-8', 'LC_ALL=C.UTF-8'];
    return [...this.inNamespace(), ...clean, 'chroot', this.mountPoint, ...argv];
  }

  private async showDevices(devices: readonly string[]): Promise<void> {
    for (const device of devices) {
      const { rdev } = statSync(device);
      // Numbers as makedev(3) packs them.
      const [major, minor] = [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)];
      await this.ok(['mknod', device, 'b', String(major), String(minor)]);
      const { stdout } = await run(['blkid', '--probe', '-s', 'UUID', '-o', 'value', device]);
      const link = `/dev/disk/by-uuid/${stdout.trim()}`;
      if (stdout.trim() !== '') await this.ok(['ln', '--symbolic', device, link]);
    }
  }
}

function optionsOf({ part, options = [] }: SystemMount): string {
  const place = part && ['loop', `offset=${part.offset}`, `sizelimit=${part.size}`];
  return [...(place ?? []), ...options].join(',') || 'defaults';
}
