import type { BlockDevice } from '../../../target/block-device.ts';
import { openDevice } from '../device-io.ts';
import type { PatchedKind } from '../patch/patched-kind.ts';
import { cleanSight, failedSight, saysInputOutputError, type Look, type Sight } from '../sight.ts';
import { readFatBackup, readFatBootSector } from './fat-boot-sector.ts';
import { fatProblems } from './fat-problems.ts';
import { rehearseFat } from './rehearse-fat.ts';

/** FAT12, FAT16 and FAT32, as on EFI system partitions. */
export const fat: PatchedKind = { look: lookAtFat, prepare: rehearseFat };

/** 0 nothing found, 1 errors found or the tool gave up, 2 it could not start (fsck.fat(8)). */
async function lookAtFat(look: Look, device: BlockDevice): Promise<Sight> {
  const { sector, backup } = await readSectors(device);
  const uuid = (sector ?? backup)?.uuid ?? null;
  const done = await look(['fsck.fat', '-n', device.path]);
  if (done.exitStatus === 0) return cleanSight(uuid, 0);
  const failed = saysInputOutputError(done) || /failed to read/i.test(`${done.out}\n${done.err}`);
  if (done.exitStatus !== 1 || failed) {
    const sight = failedSight('fsck.fat', done, uuid);
    if (!failed) return sight;
    return {
      ...sight,
      reason: 'hardware_failing',
      detail: 'The disk cannot give all of the file system.',
    };
  }
  const problems = fatProblems(done);
  const isOnlyDirty = problems.every((line) =>
    /dirty bit|boot sector|harmless|^65:|^37:/i.test(line),
  );
  return {
    outcome: 'errors_left',
    reason: 'errors_left',
    detail: detailOf(sector !== null, backup !== null, isOnlyDirty),
    uuid,
    exitStatus: 1,
    problems,
    fault: {
      rule: 'fs.fat_damage',
      severity: sector === null ? 'critical' : 'warning',
      byHand: 'fsck.fat -a, after a copy of the whole partition was made.',
      isRepairable: sector !== null || backup !== null,
    },
  };
}

async function readSectors(device: BlockDevice) {
  await using handle = await openDevice(device, 'read');
  return {
    sector: await readFatBootSector(handle),
    backup: await readFatBackup(handle, device.bytes),
  };
}

function detailOf(hasSector: boolean, hasBackup: boolean, isOnlyDirty: boolean): string {
  if (hasSector) {
    return isOnlyDirty ? 'It was not unmounted cleanly.' : 'fsck.fat finds errors.';
  }
  return hasBackup
    ? 'Its boot sector is damaged; the copy of it is whole.'
    : 'Its boot sector is damaged, and there is no copy.';
}
