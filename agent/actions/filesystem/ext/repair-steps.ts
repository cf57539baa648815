import { join } from 'node:path';
import { commandText } from '../../../../proto/documents/command-text.ts';
import type { PlanStep } from '../../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../../runner/action.ts';
import { backupFolderInPlan } from '../backup-place.ts';
import { totalBytes } from '../byte-ranges.ts';
import { e2fsckCommand } from './e2fsck.ts';
import type { ExtFilesystem } from './filesystem-examination.ts';
import { imageCommand } from './metadata-image.ts';
import type { Rehearsal } from './rehearsal.ts';
import { backupNames } from './repair-record.ts';
import type { WorkingCopy } from './working-copy.ts';

const MIN_BOUND_SECONDS = 60;
const MAX_BOUND_SECONDS = 24 * 3600;
/** A repair reads metadata at least this fast, also from a slow disk. */
const BYTES_PER_SECOND = 1024 * 1024;

/** What a step is called in the plan and in the journal. */
export const repairStepTexts = {
  save: {
    id: 'save',
    description: 'Save the metadata and every block the repair will overwrite',
    interrupt: 'now',
  },
  repair: { id: 'repair', description: 'Repair the file system', interrupt: 'finish' },
  verify: { id: 'verify', description: 'Check the file system again', interrupt: 'now' },
} as const;

/** The steps of a repair, in order: save, repair, verify. */
export function repairSteps(
  context: ActionContext,
  filesystem: ExtFilesystem,
  copy: WorkingCopy,
  rehearsal: Rehearsal,
): PlanStep[] {
  const { device, backup } = filesystem;
  const folder = backupFolderInPlan(context);
  const undoFile = join(folder, backupNames.undoFile);
  const image = join(folder, backupNames.metadata);
  const blocks = totalBytes(rehearsal.ranges);
  const look = { device: device.path, mode: 'look', superblock: null } as const;
  return [
    {
      ...repairStepTexts.save,
      changes:
        copy.kind === 'metadata'
          ? [
              {
                type: 'command',
                argv: imageCommand({ device: device.path, superblock: backup, path: image }),
              },
            ]
          : [],
      declaredFolders: [folder],
      backup: {
        what:
          copy.kind === 'metadata' ? 'the metadata, without the content of files' : 'nothing more',
        bytes: copy.kind === 'metadata' ? copy.bytes : 0,
        where: folder,
      },
      verify:
        'The saved metadata has the digest of the precondition; a second rehearsal does the same.',
      undo: { possible: true, how: 'The device is not changed.' },
      interruptBoundSeconds: 5,
    },
    {
      ...repairStepTexts.repair,
      changes: [
        {
          type: 'command',
          argv: e2fsckCommand({
            device: device.path,
            mode: 'repair',
            superblock: backup,
            undoFile,
          }),
        },
      ],
      // The device too: what the repair is for must not look like a write beside it.
      declaredFolders: [device.path, folder],
      backup: {
        what: 'every block that is overwritten, on disk before the first write',
        bytes: blocks,
        where: folder,
      },
      verify: 'The exit status of e2fsck, and the next step.',
      undo: {
        possible: true,
        how: `The saved blocks are written back and compared; by hand: ${commandText(['e2undo', undoFile, device.path])}`.slice(
          0,
          500,
        ),
      },
      interruptBoundSeconds: boundSeconds(copy),
    },
    {
      ...repairStepTexts.verify,
      changes: [{ type: 'command', argv: e2fsckCommand(look) }],
      declaredFolders: [],
      backup: null,
      verify: 'e2fsck finds nothing and exits with 0.',
      undo: { possible: true, how: 'The device is not changed.' },
      interruptBoundSeconds: 5,
    },
  ];
}

function boundSeconds(copy: WorkingCopy): number {
  const seconds = MIN_BOUND_SECONDS + Math.ceil(copy.bytes / BYTES_PER_SECOND);
  return Math.min(seconds, MAX_BOUND_SECONDS);
}
