import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { must, run } from '../harness/process.ts';
import type { Finished } from '../harness/process.ts';
import { goldenImage, mountsOf } from './golden-image.ts';
import { layouts, rolesOf } from './layouts.ts';
import type { Layout, LayoutName, Role } from './layouts.ts';
import { MountedSystem } from './mounted-system.ts';
import type { MountOptions, SystemMount } from './mounted-system.ts';
import { partitionsOf } from './partitions.ts';
import type { Partition } from './partitions.ts';

/** A copy of a golden image for one test to break. Gone when it is closed. */
export class FaultDisk {
  readonly image: string;
  readonly layout: Layout;
  /** A folder of the test, beside the image. */
  readonly folder: string;
  private readonly partitions: ReadonlyMap<Role, Partition>;

  private constructor(folder: string, layout: Layout, partitions: readonly Partition[]) {
    this.folder = folder;
    this.image = imageIn(folder);
    this.layout = layout;
    // Kept from the healthy table: a test may destroy the one on the disk.
    this.partitions = new Map(rolesOf(layout).map((role, i) => [role, partitions[i]!]));
  }

  static async copy(name: LayoutName): Promise<FaultDisk> {
    const golden = await goldenImage(name);
    const folder = mkdtempSync(path.join(tmpdir(), 'iv-disk-'));
    await must(['cp', '--sparse=always', '--reflink=auto', golden, imageIn(folder)]);
    const disk = new FaultDisk(folder, layouts[name], await partitionsOf(golden));
    await disk.takeOwnIdentity();
    return disk;
  }

  partition(role: Role): Partition {
    const found = this.partitions.get(role);
    if (found === undefined) throw new Error(`this layout has no ${role}`);
    return found;
  }

  /** Mounts the root, and `/boot` where it is a file system of its own, for as long as `body` runs. */
  async inside<T>(
    body: (system: MountedSystem) => Promise<T> | T,
    options: readonly string[] = [],
    how: MountOptions = {},
  ): Promise<T> {
    const mounts: SystemMount[] = mountsOf(this.layout, (role) => ({
      source: this.image,
      part: this.partition(role),
    }));
    const system = await MountedSystem.open(
      mounts.map((mount) => ({ ...mount, options: [...(mount.options ?? []), ...options] })),
      how,
    );
    try {
      return await body(system);
    } finally {
      await system.close();
    }
  }

  /** The files alone, read-only and without replaying a journal: not a byte of the disk changes. */
  async lookAsItIs<T>(body: (system: MountedSystem) => Promise<T> | T): Promise<T> {
    return this.inside(body, this.readOnly, { bare: true });
  }

  /** As `inside`, for looking: what its programs write lies in memory. */
  async look<T>(body: (system: MountedSystem) => Promise<T> | T): Promise<T> {
    return this.inside(body, this.readOnly, { overMemory: true });
  }

  private get readOnly(): readonly string[] {
    const { rootType, separateBoot } = this.layout;
    if (separateBoot && rootType !== 'ext4') throw new Error('one list of options must fit both');
    return { ext4: ['ro', 'noload'], xfs: ['ro', 'norecovery'], btrfs: ['ro'] }[rootType];
  }

  /** Gives a partition as a block device for as long as `body` runs. */
  async device<T>(role: Role, body: (device: string) => Promise<T>): Promise<T> {
    const { offset, size } = this.partition(role);
    const words = ['losetup', '--find', '--show', `--offset=${offset}`, `--sizelimit=${size}`];
    const device = (await must([...words, this.image])).trim();
    try {
      return await body(device);
    } finally {
      await must(['losetup', '--detach', device]);
    }
  }

  /** Runs a program of mtools(1) on the ESP: `mtools('mdir', '::/EFI')`. */
  async mtools(program: string, ...words: string[]): Promise<Finished> {
    return run([program, '-i', `${this.image}@@${this.partition('esp').offset}`, ...words]);
  }

  /** `mtools`, and anything but exit status 0 throws. */
  async mtoolsOk(program: string, ...words: string[]): Promise<void> {
    const { status, stderr } = await this.mtools(program, ...words);
    if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`);
  }

  /** Writes a new file on the ESP. */
  async toEsp(file: string, text: string): Promise<void> {
    const { offset } = this.partition('esp');
    await must(['mcopy', '-i', `${this.image}@@${offset}`, '-', file], { input: text });
  }

  async readBytes(offset: number, length: number): Promise<Buffer> {
    const file = await open(this.image);
    try {
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
      return buffer;
    } finally {
      await file.close();
    }
  }

  async writeBytes(offset: number, bytes: Uint8Array): Promise<void> {
    const file = await open(this.image, 'r+');
    try {
      await file.write(bytes, 0, bytes.length, offset);
    } finally {
      await file.close();
    }
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** XFS and Btrfs may not be mounted twice with one UUID, and tests run beside each other. */
  private async takeOwnIdentity(): Promise<void> {
    const { rootType } = this.layout;
    if (rootType === 'ext4') return;
    const [before, after] = await this.device('root', async (device) => {
      const identity = async () =>
        (await must(['blkid', '--probe', '-s', 'UUID', '-o', 'value', device])).trim();
      const old = await identity();
      await must(
        rootType === 'xfs'
          ? ['xfs_admin', '-U', 'generate', device]
          : ['btrfstune', '-f', '-u', device],
      );
      return [old, await identity()];
    });
    await this.inside((system) => {
      for (const file of ['etc/fstab', 'boot/grub/grub.cfg']) {
        system.edit(file, (text) => text.replaceAll(before, after));
      }
    });
  }
}

function imageIn(folder: string): string {
  return path.join(folder, 'disk.img');
}
