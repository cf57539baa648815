import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import type { ActionDeclaration } from './declaration.ts';

const device = absolutePath
  .optional()
  .describe('block device, partition, or image file, as an absolute path');
const partition = z
  .int()
  .min(1)
  .max(128)
  .optional()
  .describe('number of a partition of the disk that --disk names, in place of a device');
const volume = z
  .string()
  .regex(/^\/dev\/[\w.+:-]{1,128}(?:\/[\w.+:-]{1,128}){0,2}$/)
  .optional()
  .describe(
    'a volume of LVM, RAID or LUKS on what --disk names, by a path that its system has for it, such as ' +
      '/dev/GROUP/NAME, /dev/md/NAME or /dev/mapper/luks-UUID, or a partition of one of several disks, such ' +
      'as /dev/sdb1, in place of a device',
  );

const one = { device, partition, volume };
const isOne = (given: { [name in keyof typeof one]?: unknown }) =>
  Object.keys(one).filter((name) => given[name as keyof typeof one] !== undefined).length === 1;
const ONE = 'name a device, or a partition of the disk that --disk names, or a volume on it';

/**
 * Results that are never mixed up, and one more: the tool could not do its work. After an undo it is
 * `restored`: the bytes from before the repair are there, and with them what it had corrected.
 * `journal_pending`: it was not unmounted, and whether it is damaged shows only when its log is written out.
 * `tool_too_old`: the file system has features that the tool here does not know.
 */
export const filesystemOutcome = z.enum([
  'clean',
  'corrected',
  'errors_left',
  'journal_pending',
  'tool_too_old',
  'operational_error',
  'restored',
]);
export type FilesystemOutcome = z.output<typeof filesystemOutcome>;

export const filesystemResult = z.strictObject({
  outcome: filesystemOutcome,
  device: z.string(),
  filesystem: z.string(),
  uuid: z.string().nullable(),
  /** Problems the tool reported, and the first of them as it worded them. */
  problems: z.int().min(0),
  examples: z.array(z.string().max(500)).max(20),
  /** Exit status of the deciding run of the tool. */
  exitStatus: z.int().nullable(),
  detail: z.string().max(2000),
});
export type FilesystemResult = z.output<typeof filesystemResult>;

export const filesystemCheckParameters = z.strictObject(one).refine(isOne, ONE);

export const filesystemCheck: ActionDeclaration = {
  id: 'filesystem.check',
  version: 1,
  title: 'Check a file system',
  sentence: 'Look at a file system for errors. Nothing is changed.',
  class: 'A',
  planClass: 'A',
  plans: false,
  changes: false,
  undo: 'none',
  parameters: filesystemCheckParameters,
  result: filesystemResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'now',
  usualDuration: 'seconds to minutes',
  capabilities: ['device'],
  offline: { capabilities: ['disks'] },
};

export const filesystemRepairParameters = z
  .strictObject({
    ...one,
    backupDirectory: absolutePath
      .optional()
      .describe('where the undo data goes; a durable file system other than the one under repair'),
    discardLog: z
      .boolean()
      .optional()
      .describe('XFS: throw away a log that cannot be replayed, and with it the last changes'),
  })
  .refine(isOne, ONE);

export const filesystemRepair: ActionDeclaration = {
  id: 'filesystem.repair',
  version: 1,
  title: 'Repair a file system',
  sentence: 'Repair a damaged file system. What is changed is saved first and can be put back.',
  class: 'C',
  planClass: 'A',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: filesystemRepairParameters,
  result: filesystemResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: '1 to 15 minutes',
  capabilities: ['device'],
  offline: { capabilities: ['disks'] },
};
