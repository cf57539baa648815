import { z } from 'zod';
import type { ActionDeclaration } from './declaration.ts';

/** Kinds that go only where the order names them: somebody may miss them. */
export const reclaimExtras = ['php-sessions', 'core-dumps'] as const;
export type ReclaimExtra = (typeof reclaimExtras)[number];

export const JOURNAL_KEPT_MEBIBYTES = 64;

export const reclaimParameters = z.strictObject({
  also: z
    .array(z.enum(reclaimExtras))
    .min(1)
    .max(reclaimExtras.length)
    .optional()
    .describe(`remove these too: ${reclaimExtras.join(', ')}`),
  keepJournal: z
    .int()
    .min(0)
    .max(65_536)
    .optional()
    .describe(`MiB of archived journal that stay; ${JOURNAL_KEPT_MEBIBYTES} when left out`),
});

export const reclaimResult = z.strictObject({
  outcome: z.enum(['reclaimed', 'nothing_to_do']),
  files: z.int().min(0),
  bytes: z.int().min(0),
  detail: z.string().max(2000),
});
export type ReclaimResult = z.output<typeof reclaimResult>;

export const filesystemReclaim: ActionDeclaration = {
  id: 'filesystem.reclaim',
  version: 1,
  title: 'Make room on a full disk',
  sentence:
    'Remove downloaded packages, rotated logs, old journals and leftovers of updates. Your own files are never touched; what is removed cannot be put back.',
  class: 'C',
  planClass: 'A',
  plans: true,
  changes: true,
  undo: 'none',
  parameters: reclaimParameters,
  result: reclaimResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'now',
  usualDuration: 'seconds to minutes',
  capabilities: ['host'],
  offline: { capabilities: ['disks'] },
};
