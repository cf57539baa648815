import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import type { ActionDeclaration } from './declaration.ts';
import { fileRepairResult } from './file-repair-result.ts';

/** What a boot goes through, in order. */
export const bootParts = ['loader', 'initramfs', 'config'] as const;
export type BootPart = (typeof bootParts)[number];

export const bootloaderRepairParameters = z.strictObject({
  parts: z
    .array(z.enum(bootParts))
    .min(1)
    .max(bootParts.length)
    .optional()
    .describe(
      'make exactly these anew, broken or not, and leave the others: loader, initramfs, config; whatever is broken when left out',
    ),
  kernel: z
    .string()
    .regex(/^\w[\w.+~-]{0,127}$/)
    .optional()
    .describe(
      'start this kernel from now on: its version, or `previous` for the one before the newest',
    ),
  backupDirectory: absolutePath
    .optional()
    .describe('where the old state is kept; in a rescue system a folder on a durable disk'),
});

/**
 * Of systems on disks only: what a running system booted with works. Its plan is of class B, since whether an
 * initramfs is whole is told by the target's own program.
 */
export const bootloaderRepair: ActionDeclaration = {
  id: 'bootloader.repair',
  version: 1,
  title: 'Repair what starts the system',
  sentence:
    'Make the boot loader, its menu or the first file system of your server anew, as your own system makes them. The old state can be put back.',
  class: 'C',
  planClass: 'B',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: bootloaderRepairParameters,
  result: fileRepairResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: '1 to 5 minutes',
  capabilities: ['disks', 'runs-target-programs'],
  offline: { capabilities: ['disks', 'runs-target-programs'] },
};
