import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ALL_DISKS } from '../../../proto/documents/kinds/order.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';
import { inspectDevice, type BlockDevice } from '../../target/block-device.ts';
import { findUse } from '../../target/device-use.ts';
import { listUnusedDisks } from '../../target/offline/list-disks.ts';
import { requireSamePlan, type PlanBody } from '../same-plan.ts';
import { contentDigest } from '../files/file-state.ts';
import {
  backupFolderInPlan,
  checkBackupPlace,
  makeBackupFolder,
} from '../filesystem/backup-place.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { SavedBlocks } from '../filesystem/saved-blocks.ts';
import { writeSaved, type SavedPaths } from '../filesystem/write-saved.ts';
import { findDamagedTable, type DamagedTable } from './partition-table.ts';

const STEP = 'partition-table';
const BOUND_SECONDS = 60;

const recordSchema = z.strictObject({ version: z.literal(1), disk: z.string() });
const recordName = (index: number) => `table-${index}.json`;
const pathsOf = (folder: string, index: number): SavedPaths => ({
  before: join(folder, `table-${index}.before`),
  after: join(folder, `table-${index}.after`),
});
const RECORD = /^table-(\d{1,3})\.json$/;

/** The plan for disks whose partition table is damaged; null where none is. */
export async function planTables(context: ActionContext): Promise<PlanBody | null> {
  const damaged = await findDamaged(context);
  if (damaged.length === 0) return null;
  const body = planOf(context, damaged);
  await checkBackupPlace(context, body.steps[0]!.backup!.bytes);
  return body;
}

/** Whether a plan is one of `planTables`: nothing that lies on the partitions is known to it. */
export const isTablePlan = (plan: Plan | null) => plan?.steps[0]?.id === STEP;

/**
 * Carries out a plan of `planTables`. Returns what to tell people. Throws ActionError; what was written
 * until then is put back.
 */
export async function applyTables(context: ActionContext, plan: Plan | null): Promise<PlanBody> {
  const damaged = await findDamaged(context);
  const body = planOf(context, damaged);
  requireSamePlan(plan, body);
  const folder = await makeBackupFolder(context);
  await context.step(body.steps[0]!, async (confirm) => {
    const backups: SavedBackup[] = [];
    for (const [index, one] of damaged.entries()) backups.push(...(await save(folder, index, one)));
    await confirm(backups);
    try {
      for (const index of damaged.keys()) await writeTable(folder, index, 'after');
      if ((await findDamaged(context)).length === 0) return;
      throw new ActionError('verify_failed', 'the partition table is still not valid');
    } catch (error) {
      for (const index of damaged.keys()) await writeTable(folder, index, 'before');
      throw error;
    }
  });
  return body;
}

/** Whether a job that is to be undone wrote partition tables. */
export async function hasSavedTables(folder: string): Promise<boolean> {
  return (await readdir(folder)).some((name) => RECORD.test(name));
}

/** Puts back the very bytes; may be cut off anywhere and begun again. Throws ActionError `changed_since`. */
export async function undoTables(context: ActionContext, folder: string): Promise<void> {
  const indices = (await readdir(folder)).flatMap((name) => RECORD.exec(name)?.[1] ?? []);
  const step = {
    id: 'undo-table',
    description: 'Put the start of the disk back as it was',
    interrupt: 'finish',
  } as const;
  await context.step(step, async (confirm) => {
    await confirm([]);
    for (const index of indices.map(Number)) await writeTable(folder, index, 'before');
  });
}

async function findDamaged(context: ActionContext): Promise<DamagedTable[]> {
  const named = context.spec.target?.['disk'];
  if (typeof named !== 'string') return [];
  const found: DamagedTable[] = [];
  for (const path of named === ALL_DISKS ? await listUnusedDisks() : [named]) {
    const table = await findDamagedTable(context, await inspectDevice(path));
    if (table === null) continue;
    if (table.foreign !== null) throw foreignTable(path, table.foreign);
    found.push(table);
  }
  return found;
}

function foreignTable(path: string, why: string): ActionError {
  const next =
    'look with gdisk or testdisk which of the two the partitions are by, and write that one by hand';
  const what = `the partition table of ${path} is damaged, and the valid one at its end belongs to something else`;
  return new ActionError('table_foreign', `${what}: ${why}. Nothing is written: ${next}`);
}

function planOf(context: ActionContext, damaged: readonly DamagedTable[]): PlanBody {
  const disks = damaged.map(({ device }) => device.path).join(', ');
  const bytes = damaged.reduce((sum, { before }) => sum + 2 * before.length, 0);
  return {
    target: { offline: { disk: context.spec.target?.['disk'] ?? null } },
    summary: `Write the partition table of ${disks} anew from its copy at the end of the disk. No partition is touched.`,
    findings: [
      `The partition table at the start of ${disks} is damaged; the copy at the end is valid.`,
      ...damaged.flatMap(({ device, seen }) => seen.map((said) => `${device.path}: ${said}`)),
      'What lies on the partitions can be looked at only then: plan again afterwards.',
    ],
    preconditions: damaged.flatMap(({ device, before, after }) => [
      { what: `the start of ${device.path}`, digest: contentDigest(before) },
      { what: `what the copy makes of ${device.path}`, digest: contentDigest(after) },
    ]),
    steps: [
      {
        id: STEP,
        description:
          'Write the partition table from its copy; if it is not valid then, put all back',
        changes: damaged.map(({ device }) => ({
          type: 'command' as const,
          argv: ['sgdisk', '--load-backup=COPY', device.path],
        })),
        declaredFolders: damaged.map(({ device }) => device.path).slice(0, 16),
        backup: { what: 'the start of the disk', bytes, where: backupFolderInPlan(context) },
        verify: 'It is read again, and its checksums are right.',
        undo: { possible: true, how: 'The very bytes are put back.' },
        interrupt: 'finish',
        interruptBoundSeconds: BOUND_SECONDS,
      },
    ],
  };
}

async function save(
  folder: string,
  index: number,
  { device, before, after }: DamagedTable,
): Promise<SavedBackup[]> {
  const paths = pathsOf(folder, index);
  const keep = (path: string, bytes: Buffer) =>
    SavedBlocks.save(path, [[0, bytes.length]], (at, length) =>
      Promise.resolve(bytes.subarray(at, at + length)),
    );
  return [
    await keep(paths.before, before),
    await keep(paths.after, after),
    // Last: where it is, the others are whole.
    await writeBackup(
      join(folder, recordName(index)),
      JSON.stringify({ version: 1, disk: device.path }),
    ),
  ];
}

async function writeTable(folder: string, index: number, when: keyof SavedPaths): Promise<void> {
  const text = await readFile(join(folder, recordName(index)), 'utf8');
  const { disk } = recordSchema.parse(JSON.parse(text) as unknown);
  const device = await inspectDevice(disk);
  await requireUnused(device);
  await writeSaved(device, pathsOf(folder, index), when, `the start of ${disk}`);
}

async function requireUnused(device: BlockDevice): Promise<void> {
  const use = await findUse(device);
  if (use === null) return;
  throw new ActionError('device_busy', `${device.path} is in use: ${use}`);
}
