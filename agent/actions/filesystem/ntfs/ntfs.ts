import { ActionError } from '../../../runner/action.ts';
import type { BlockDevice } from '../../../target/block-device.ts';
import { digestRanges } from '../device-digest.ts';
import { openDevice } from '../device-io.ts';
import type { ByteRange } from '../byte-ranges.ts';
import { patchOf } from '../patch/patch.ts';
import type { Cure, PatchedKind, Work } from '../patch/patched-kind.ts';
import {
  cleanSight,
  failedSight,
  saysInputOutputError,
  type Fault,
  type Look,
  type Sight,
} from '../sight.ts';
import { NTFS_SECTOR_BYTES, readNtfsBootSectors } from './ntfs-boot-sector.ts';

/**
 * Looked at, not repaired: chkdsk of Windows is what repairs it, and ntfsfix(8) empties its journal. Only the
 * boot sector, of which there is a copy, is written anew.
 */
export const ntfs: PatchedKind = { look: lookAtNtfs, prepare: prepareNtfs };

/** Exit statuses of ntfs-3g.probe(8). */
const probe = { noNtfs: 12, inconsistent: 13, hibernated: 14, unclean: 15 } as const;
const BOOT_SECTOR_RULE = 'fs.ntfs_boot_sector';
const CHKDSK = 'Start Windows: it runs chkdsk by itself; else chkdsk /f there, twice.';

async function lookAtNtfs(look: Look, device: BlockDevice): Promise<Sight> {
  const { first, copy } = await readSectors(device);
  const uuid = (first ?? copy)?.uuid ?? null;
  if (first === null) return withoutBootSector(uuid, copy !== null);
  const probed = await look(['ntfs-3g.probe', '--readwrite', device.path]);
  if (saysInputOutputError(probed)) return failedSight('ntfs-3g.probe', probed, uuid);
  switch (probed.exitStatus) {
    case 0:
      break;
    case probe.hibernated:
      return forWindows('hibernated', uuid, probed.exitStatus, {
        detail:
          'Windows hibernated, or shut down with fast startup, and has it in use: nothing may write to it.',
        rule: 'win.hibernated',
        byHand:
          'Start Windows and shut it down whole (shutdown /s /t 0); never remove hiberfil.sys unasked.',
      });
    case probe.unclean:
      return forWindows('needs_windows', uuid, probed.exitStatus, {
        detail: 'It was not unmounted cleanly: Windows has to check it.',
        rule: 'win.dirty_volume',
        byHand: CHKDSK,
      });
    case probe.noNtfs:
    case probe.inconsistent:
      return forWindows('needs_windows', uuid, probed.exitStatus, {
        detail: 'Its master file table is damaged: Windows has to repair it.',
        rule: 'win.damaged_volume',
        byHand: CHKDSK,
      });
    default:
      return failedSight('ntfs-3g.probe', probed, uuid);
  }
  // The probe is content with a volume that says itself that it has to be checked.
  const told = await look(['ntfsinfo', '-m', device.path]);
  if (told.exitStatus === 0) return cleanSight(uuid, 0);
  if (!/scheduled for check/i.test(`${told.out}\n${told.err}`)) {
    return failedSight('ntfsinfo', told, uuid);
  }
  return forWindows('needs_windows', uuid, told.exitStatus, {
    detail: 'It is marked to be checked: Windows does that when it starts.',
    rule: 'win.dirty_volume',
    byHand: CHKDSK,
  });
}

function forWindows(
  reason: string,
  uuid: string | null,
  exitStatus: number | null,
  { detail, rule, byHand }: { detail: string } & Pick<Fault, 'rule' | 'byHand'>,
): Sight {
  const fault: Fault = { rule, severity: 'warning', byHand, isRepairable: false };
  return { outcome: 'errors_left', reason, detail, uuid, exitStatus, problems: [detail], fault };
}

function withoutBootSector(uuid: string | null, hasCopy: boolean): Sight {
  const detail = hasCopy
    ? 'Its boot sector is damaged; the copy of it in the last sector is whole.'
    : 'Its boot sector is damaged, and there is no copy of it in the last sector.';
  return {
    outcome: 'errors_left',
    reason: hasCopy ? 'errors_left' : 'needs_specialist',
    detail,
    uuid,
    exitStatus: null,
    problems: [detail],
    fault: {
      rule: BOOT_SECTOR_RULE,
      severity: 'critical',
      byHand: 'Copy the last sector of the partition over its first, after both were saved.',
      isRepairable: hasCopy,
    },
  };
}

async function prepareNtfs({ handle, device, volume }: Work, sight: Sight): Promise<Cure> {
  const { copy, copyAt } = await readNtfsBootSectors(handle, device.bytes);
  if (sight.fault?.isRepairable !== true || copy === null) {
    throw new ActionError(sight.reason ?? 'needs_windows', sight.detail);
  }
  const both: ByteRange[] = [
    [0, NTFS_SECTOR_BYTES],
    [copyAt, NTFS_SECTOR_BYTES],
  ];
  return {
    summary: 'Write the boot sector anew from its copy in the last sector',
    findings: ['Nothing else is written; whether the rest is sound, Windows (chkdsk) has to see.'],
    precondition: {
      what: 'the first and the last sector',
      digest: await digestRanges(volume.context, handle, both),
    },
    commands: [],
    endsClean: null,
    isMended: ({ fault }) => fault?.rule !== BOOT_SECTOR_RULE,
    means: {
      type: 'patch',
      // Both, so that both are saved.
      patch: patchOf(both.map(([offset]) => ({ offset, bytes: copy.bytes }))),
      varying: null,
      watched: both,
      keepsake: null,
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function readSectors(device: BlockDevice) {
  await using handle = await openDevice(device, 'read');
  return await readNtfsBootSectors(handle, device.bytes);
}
