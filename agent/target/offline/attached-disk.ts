import { constants } from 'node:fs';
import { open, readdir, readFile, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { inspectDevice, sysfsFolder, type BlockDevice } from '../block-device.ts';
import { findUse } from '../device-use.ts';

/** grub-mkconfig takes /dev/loop0 to /dev/loop9 for a live system's and writes no entries for them. */
const FIRST_LOOP = 10;
const LAST_LOOP = 255;
/** What a killed job had attached is let go by the kernel, soon but not at once. */
const FREE_WITHIN_MS = 5_000;

/** A disk behind a loop device of its own, whose partitions the kernel shows. */
export interface AttachedDisk {
  /** As the order names it. */
  given: string;
  device: BlockDevice;
  /** `/dev/loopN`; its partitions are `/dev/loopNpK`. */
  loop: string;
}

type Context = Pick<ActionContext, 'run' | 'signal'>;

/**
 * Attaches a disk or image so that it and its partitions can be mounted, also where the kernel reads no
 * partition tables. The loop device is marked to go with its last user (LO_FLAGS_AUTOCLEAR, loop(4)): when
 * the handle is closed and nothing is mounted, or this process is killed, nothing of it is left.
 *
 * Throws ActionError `device_busy` when somebody uses the disk or a partition of it.
 */
export async function attachDisk(
  context: Context,
  given: string,
  { write }: { write: boolean },
): Promise<AttachedDisk & AsyncDisposable> {
  const device = await inspectDevice(given);
  await requireUnused(device);
  const { loop, handle } = await attach(context, device.path, write);
  try {
    // Marked while it is open, it stays until it is closed.
    await succeed(context, ['losetup', '--detach', loop]);
    await showPartitions(context, loop);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    given,
    device,
    loop,
    async [Symbol.asyncDispose]() {
      await handle.close();
    },
  };
}

async function requireUnused(device: BlockDevice): Promise<void> {
  const until = Date.now() + FREE_WITHIN_MS;
  for (;;) {
    const use = await useOf(device);
    if (use === null) return;
    if (Date.now() > until || !use.includes('/dev/loop')) {
      throw new ActionError(
        'device_busy',
        `${device.path} is in use: ${use}. A disk is worked on only when nobody else does`,
      );
    }
    await sleep(100);
  }
}

/** Of the disk and of every partition that the kernel knows of it. */
async function useOf(device: BlockDevice): Promise<string | null> {
  const use = await findUse(device);
  if (use !== null || device.number === null) return use;
  const folder = sysfsFolder(device.number);
  const [own] = (await readFile(`${folder}/uevent`, 'utf8')).match(/(?<=^DEVNAME=).*/m) ?? [];
  const names = await readdir(folder);
  for (const name of names.filter((entry) => own !== undefined && entry.startsWith(own))) {
    const partition = await inspectDevice(`/dev/${name}`);
    const its = await findUse(partition);
    if (its !== null) return `of ${partition.path}, ${its}`;
  }
  return null;
}

async function attach(
  context: Context,
  path: string,
  write: boolean,
): Promise<{ loop: string; handle: FileHandle }> {
  for (let number = FIRST_LOOP; number <= LAST_LOOP; number++) {
    const loop = `/dev/loop${number}`;
    const words = [...(write ? [] : ['--read-only']), '--partscan', loop, path];
    const done = await context.run(['losetup', ...words], {
      output: 'capture',
      signal: context.signal,
    });
    if (done.exitStatus === 0) {
      return { loop, handle: await open(loop, constants.O_RDONLY) };
    }
    if (/resource busy/i.test(done.err)) continue;
    throw new ActionError('not_attached', `losetup could not attach ${path}: ${done.err.trim()}`);
  }
  throw new ActionError('not_attached', 'no loop device is free');
}

/** The kernel may have found the partitions already; partx reads also what it does not (partx(8)). */
export async function showPartitions(context: Context, loop: string): Promise<void> {
  const table = await context.run(['blkid', '-p', '-o', 'value', '-s', 'PTTYPE', loop], {
    output: 'capture',
    signal: context.signal,
  });
  if (table.out.trim() === '') return;
  const done = await context.run(['partx', '--update', loop], {
    output: 'capture',
    signal: context.signal,
  });
  if (done.exitStatus !== 0) {
    throw new ActionError(
      'not_attached',
      `the partitions of ${loop} cannot be shown: ${done.err.trim()}`,
    );
  }
}

async function succeed(context: Context, argv: readonly string[]): Promise<void> {
  const done = await context.run(argv, { output: 'capture', signal: context.signal });
  if (done.exitStatus === 0) return;
  throw new ActionError('not_attached', `${argv.join(' ')}: ${done.err.trim()}`);
}
