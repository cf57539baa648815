import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import type { ActionDeclaration } from './declaration.ts';
import { fileRepairResult } from './file-repair-result.ts';

export const repairFstabParameters = z.strictObject({
  lines: z
    .array(z.int().min(1).max(10_000))
    .min(1)
    .max(64)
    .optional()
    .describe('repair these lines of /etc/fstab only, such as [5]; every broken one when left out'),
  backupDirectory: absolutePath
    .optional()
    .describe('where the old file is kept; in a rescue system a folder on a durable disk'),
});

export const bootRepairFstab: ActionDeclaration = {
  id: 'boot.repair-fstab',
  version: 1,
  title: 'Repair the table of file systems',
  sentence:
    'Correct the lines of /etc/fstab that keep your server from starting. Every other line stays as it is, and the old table can be put back.',
  class: 'B',
  planClass: 'A',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: repairFstabParameters,
  result: fileRepairResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: 'seconds',
  capabilities: ['host'],
  offline: { capabilities: ['disks'] },
};
