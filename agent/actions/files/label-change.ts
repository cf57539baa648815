import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { syncOpened } from './attributes.ts';
import { contentDigest } from './file-state.ts';
import type { FoundChange, PlannedChange } from './planned-change.ts';
import { readLabel, writeLabel } from './security-label.ts';
import { withOpened } from './with-opened.ts';

type Context = Pick<ActionContext, 'run'>;

/** The label of SELinux that a file or folder is to have; all else of it stays. */
export interface LabelChange {
  path: string;
  /** `user:role:type:level`. */
  label: string;
}

const savedLabelSchema = z.strictObject({
  version: z.literal(1),
  path: z.string(),
  before: z.string().nullable(),
  after: z.string(),
});

export const labelRecordName = (index: number) => `label-${index}.json`;

/** Looks at what is to change. Throws ActionError for what is neither a plain file nor a folder. */
export async function planLabelChange(
  context: Context,
  root: TargetRoot,
  { path, label }: LabelChange,
): Promise<PlannedChange> {
  const look = () =>
    withOpened(root, path, undefined, async (handle) => ({
      label: await readLabel(context, handle.fd),
    }));
  const before = await look();
  return {
    path,
    isNeeded: before.label !== label,
    changes: [
      {
        type: 'command',
        argv: ['setfattr', '--name', 'security.selinux', '--value', label, path],
      },
    ],
    precondition: { what: `${path}: label of SELinux`, digest: digestOf(before.label) },
    backup: { what: 'the label, or that there is none', bytes: 0 },
    undo: before.label === null ? 'The label is taken away again.' : 'The label is put back.',
    async prepare({ folder, index }, expected) {
      const found = await look();
      if (digestOf(found.label) !== expected) throw stale(path);
      const saved = { version: 1, path, before: found.label, after: label };
      const record = join(folder, labelRecordName(index));
      return {
        backups: [await writeBackup(record, JSON.stringify(saved))],
        make: () => putLabel(context, root, path, label),
      };
    },
  };
}

/** What a job saved before such a change, and what has become of it. */
export async function findLabelChange(
  context: Context,
  root: TargetRoot,
  folder: string,
  index: number,
): Promise<FoundChange> {
  const text = await readFile(join(folder, labelRecordName(index)), 'utf8');
  const { path, before, after } = savedLabelSchema.parse(JSON.parse(text));
  const now = await withOpened(root, path, undefined, async (handle) => ({
    label: await readLabel(context, handle.fd),
  })).catch((error: unknown) => {
    if (error instanceof ActionError) return null;
    throw error;
  });
  return {
    path,
    standing: now?.label === before ? 'before' : now?.label === after ? 'after' : 'changed',
    async restore() {
      if (now?.label === before) return;
      await putLabel(context, root, path, before);
    },
  };
}

function putLabel(
  context: Context,
  root: TargetRoot,
  path: string,
  label: string | null,
): Promise<void> {
  return withOpened(root, path, undefined, async (handle) => {
    await writeLabel(context, handle.fd, label);
    await syncOpened(handle);
  });
}

function digestOf(label: string | null): string {
  return contentDigest(Buffer.from(`label ${label ?? 'none'}`));
}

function stale(path: string): ActionError {
  return new ActionError('changed_since_plan', `${path} has changed since it was planned`);
}
