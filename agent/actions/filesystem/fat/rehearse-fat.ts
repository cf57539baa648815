import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { writeDevice } from '../device-io.ts';
import { syncAndDigest } from '../durable-write.ts';
import { patchFromCopy } from '../patch/patch.ts';
import type { Cure, Keepsake, Work } from '../patch/patched-kind.ts';
import { scratchFolder, usableBytes } from '../scratch-space.ts';
import type { Sight } from '../sight.ts';
import { copySparsely } from '../sparse-copy.ts';
import { readFatBackup, readFatBootSector } from './fat-boot-sector.ts';
import { fatProblems } from './fat-problems.ts';

const UNIT_BYTES = 512;
/** EFI system partitions are smaller; of larger ones only what changes is kept. */
const KEEPSAKE_MAX_BYTES = 1024 ** 3;

interface Rehearsed {
  /** Name in the scratch folder. */
  name: string;
  /** Of the device before anything was done to the copy. */
  digest: string;
  bytes: number;
  argv: string[];
  problems: string[];
  /** Both tables are there and differ: either may be the whole one. */
  tablesDiffer: boolean;
}

/**
 * Repairs a copy of the whole file system. Where its two tables differ both are tried, since fsck.fat(8) takes
 * the first one, whichever is damaged; the one that costs less is used.
 */
export async function rehearseFat(work: Work, sight: Sight): Promise<Cure> {
  const { device, handle, volume } = work;
  if (sight.fault?.isRepairable !== true) throw new ActionError('errors_left', sight.detail);
  const { context } = volume;
  const folder = await scratchFolder(context);
  const boot = (await readFatBootSector(handle)) ?? (await readFatBackup(handle, device.bytes));
  const first = await rehearse(work, folder, 'copy', []);
  const second = first.tablesDiffer ? await rehearse(work, folder, 'copy-2', ['-F', '2']) : null;
  const isSecond = second !== null && second.problems.length < first.problems.length;
  const chosen = isSecond ? second : first;
  const copy = await open(join(folder, chosen.name));
  const patch = await patchFromCopy(context, handle, copy, [[0, device.bytes]], UNIT_BYTES);
  const endsClean = await isClean(context, folder, chosen.name);
  return {
    summary:
      (await readFatBootSector(handle)) === null
        ? 'Write the boot sector anew from its copy and repair the file system'
        : 'Repair the file system',
    findings: [
      ...(isSecond
        ? ['The first of its two tables is damaged; the second one is used, and costs less.']
        : []),
      ...losses(chosen.problems),
      'Rehearsed on a copy of the whole file system.',
      ...chosen.problems.map((line) => `fsck.fat: ${line}`),
    ],
    precondition: { what: 'all bytes of the file system', digest: chosen.digest },
    commands: [chosen.argv],
    endsClean,
    means: {
      type: 'patch',
      patch,
      varying: null,
      watched: [[0, Math.min(boot?.headBytes ?? 0, device.bytes)]],
      keepsake: keepsakeOf(work, chosen.bytes),
    },
    async [Symbol.asyncDispose]() {
      await copy.close();
      for (const name of ['copy', 'copy-2']) await rm(join(folder, name), { force: true });
    },
  };
}

async function rehearse(
  { device, handle, volume: { context } }: Work,
  folder: string,
  name: string,
  options: readonly string[],
): Promise<Rehearsed> {
  const path = join(folder, name);
  const maxBytes = Math.floor((await usableBytes(folder)) * 0.9);
  const { digest, bytes } = await copySparsely(context, device, handle, path, maxBytes);
  await restoreBootSector(path, device.bytes);
  const argv = ['fsck.fat', '-a', ...options, name];
  const done = await context.run(argv, {
    directory: folder,
    output: 'capture',
    signal: context.signal,
  });
  const problems = fatProblems(done);
  if (done.exitStatus !== 0 && done.exitStatus !== 1) {
    throw new ActionError('tool_failed', `fsck.fat cannot repair a copy: ${problems.join(' / ')}`);
  }
  const tablesDiffer = problems.some((line) => line.startsWith('FATs differ but appear'));
  return { name, digest, bytes, argv, problems, tablesDiffer };
}

/** Only where the one at its place is none: a sound one may differ from its copy rightly. */
async function restoreBootSector(path: string, bytes: number): Promise<void> {
  await using copy = await open(path, 'r+');
  if ((await readFatBootSector(copy)) !== null) return;
  const backup = await readFatBackup(copy, bytes);
  if (backup !== null) await writeDevice(copy, backup.bytes, 0);
}

async function isClean(context: ActionContext, folder: string, name: string): Promise<boolean> {
  const done = await context.run(['fsck.fat', '-n', name], {
    directory: folder,
    output: 'capture',
    signal: context.signal,
  });
  return done.exitStatus === 0;
}

/** What the repair costs, said before the details. */
function losses(problems: readonly string[]): string[] {
  const cut = problems.filter((line) => line.startsWith('Truncating file')).length;
  if (cut === 0) return [];
  return [
    `${cut === 1 ? 'One file would be cut short' : `${cut} files would be cut short`}: put back what belongs there afterwards, such as the boot loader.`,
  ];
}

function keepsakeOf({ device, handle, volume: { context } }: Work, bytes: number): Keepsake | null {
  if (device.bytes > KEEPSAKE_MAX_BYTES) return null;
  return {
    what: 'an image of the whole file system',
    bytes,
    async save(folder, maxBytes) {
      const path = join(folder, 'filesystem.img');
      await copySparsely(context, device, handle, path, maxBytes);
      return syncAndDigest(path);
    },
  };
}
