import { readdir } from 'node:fs/promises';
import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { backupFolderInPlan } from '../filesystem/backup-place.ts';
import {
  attributesRecordName,
  findAttributeChange,
  planAttributeChange,
  type AttributeChange,
} from './attribute-change.ts';
import { makeChange, prepareChange } from './change-files.ts';
import {
  findFolderChange,
  folderRecordName,
  planFolderChange,
  type FolderChange,
} from './folder-change.ts';
import {
  findLabelChange,
  labelRecordName,
  planLabelChange,
  type LabelChange,
} from './label-change.ts';
import { findLinkChange, linkRecordName, planLinkChange, type LinkChange } from './link-change.ts';
import { planFileChange, type FileChange } from './plan-file-change.ts';
import type { FoundChange, PlannedChange } from './planned-change.ts';
import { findSavedFile, restoreFile } from './restore-files.ts';
import { recordName } from './saved-file.ts';

type Context = Pick<ActionContext, 'run' | 'spec' | 'directory'>;

/** One change of a target's files, whatever it changes of them. */
export type Change =
  | ({ kind: 'file' } & FileChange)
  | ({ kind: 'attributes' } & AttributeChange)
  | ({ kind: 'link' } & LinkChange)
  | ({ kind: 'folder' } & FolderChange)
  | ({ kind: 'label' } & LabelChange);

/** A step of a plan that changes files and does nothing else. */
export interface ChangeStep {
  id: string;
  description: string;
  changes: readonly Change[];
  /** How it is verified, in a sentence. */
  verify: string;
}

/** Steps of which only what is needed is left. */
export interface PlannedSteps {
  steps: { step: PlanStep; changes: PlannedChange[] }[];
  preconditions: Plan['preconditions'];
  backupBytes: number;
}

const BOUND_SECONDS = 60;

/**
 * Looks at everything that is to change; nothing is changed. A change that is made already is left out, and a
 * step without any. Throws ActionError for what could not be carried out.
 */
export async function planChangeSteps(
  context: Context,
  root: TargetRoot,
  wanted: readonly ChangeStep[],
): Promise<PlannedSteps> {
  const planned: PlannedSteps = { steps: [], preconditions: [], backupBytes: 0 };
  const paths = new Set<string>();
  for (const { changes: all, ...texts } of wanted) {
    const changes: PlannedChange[] = [];
    for (const change of all) {
      const one = await planChange(context, root, change);
      if (!one.isNeeded) continue;
      // The second would rest on what the first has made of it.
      if (paths.has(one.path)) throw new TypeError(`${one.path} is to be changed twice`);
      paths.add(one.path);
      changes.push(one);
      planned.preconditions.push(one.precondition);
      planned.backupBytes += one.backup.bytes;
    }
    if (changes.length > 0) planned.steps.push({ step: stepOf(context, texts, changes), changes });
  }
  return planned;
}

function planChange(context: Context, root: TargetRoot, change: Change): Promise<PlannedChange> {
  switch (change.kind) {
    case 'file':
      return planFile(context, root, change);
    case 'attributes':
      return planAttributeChange(root, change);
    case 'link':
      return planLinkChange(context, root, change);
    case 'folder':
      return planFolderChange(context, root, change);
    case 'label':
      return planLabelChange(context, root, change);
  }
}

async function planFile(
  context: Context,
  root: TargetRoot,
  change: FileChange,
): Promise<PlannedChange> {
  const { before, isNeeded, changes, precondition, backupBytes } = await planFileChange(
    root,
    change,
    context,
  );
  const isNew = before === null;
  return {
    path: change.path,
    isNeeded,
    changes,
    precondition,
    backup: isNew
      ? { what: 'that there is no such file', bytes: 0 }
      : { what: 'the file with its mode, owner, times and attributes', bytes: backupBytes },
    undo: isNew ? 'The file is removed again.' : 'The file is put back as it was.',
    async prepare(place, expected) {
      const prepared = await prepareChange(context, root, change, expected, place);
      return {
        backups: prepared.backups,
        make: () => makeChange(context, root, prepared),
      };
    },
  };
}

function stepOf(
  context: Context,
  texts: Omit<ChangeStep, 'changes'>,
  changes: readonly PlannedChange[],
): PlanStep {
  const list = (sentences: readonly string[]) => [...new Set(sentences)].join(' ');
  return {
    ...texts,
    interrupt: 'finish',
    changes: changes.flatMap((change) => change.changes),
    declaredFolders: [],
    backup: {
      what: [...new Set(changes.map(({ backup }) => backup.what))].join('; '),
      bytes: changes.reduce((sum, { backup }) => sum + backup.bytes, 0),
      where: backupFolderInPlan(context),
    },
    undo: { possible: true, how: list(changes.map(({ undo }) => undo)) },
    interruptBoundSeconds: BOUND_SECONDS,
  };
}

/**
 * Carries the steps out one after the other; each is whole on disk before the next begins. Throws ActionError
 * `changed_since_plan` when something is not as the plan that was agreed to says.
 */
export async function applyChangeSteps(
  context: Pick<ActionContext, 'step'>,
  { steps }: PlannedSteps,
  agreed: Plan['preconditions'],
  folder: string,
): Promise<void> {
  let index = 0;
  for (const { step, changes } of steps) {
    await context.step(step, async (confirm) => {
      const prepared = await prepareChanges(changes, agreed, folder, index);
      index += changes.length;
      await confirm(prepared.flatMap(({ backups }) => backups));
      for (const { make } of prepared) await make();
    });
  }
}

/** Steps of which everything is saved, and nothing is changed yet. */
export type PreparedSteps = {
  step: PlanStep;
  backups: SavedBackup[];
  makes: (() => Promise<void>)[];
}[];

/** `applyChangeSteps`, of which only the backups are made. */
export async function prepareChangeSteps(
  { steps }: PlannedSteps,
  agreed: Plan['preconditions'],
  folder: string,
): Promise<PreparedSteps> {
  const all: PreparedSteps = [];
  let index = 0;
  for (const { step, changes } of steps) {
    const prepared = await prepareChanges(changes, agreed, folder, index);
    index += changes.length;
    const backups = prepared.flatMap((one) => one.backups);
    all.push({ step, backups, makes: prepared.map(({ make }) => make) });
  }
  return all;
}

async function prepareChanges(
  changes: readonly PlannedChange[],
  agreed: Plan['preconditions'],
  folder: string,
  first: number,
) {
  const prepared = [];
  for (const [offset, change] of changes.entries()) {
    const { what } = change.precondition;
    const digest = agreed.find((one) => one.what === what)?.digest ?? '';
    prepared.push(await change.prepare({ folder, index: first + offset }, digest));
  }
  return prepared;
}

/**
 * Takes back what a job has saved in `folder`, last change first; may be cut off anywhere and begun again.
 * Throws ActionError `changed_since`, before anything is written, when somebody has changed one since.
 */
export async function takeBackChanges(
  context: Pick<ActionContext, 'run'>,
  root: TargetRoot,
  folder: string,
): Promise<void> {
  const found = await findChanges(context, root, folder);
  const other = found.find(({ standing }) => standing === 'changed');
  if (other !== undefined) {
    throw new ActionError(
      'changed_since',
      `${other.path} has been changed after the job: taking the job back would destroy that`,
    );
  }
  for (const change of found.toReversed()) await change.restore();
}

async function findChanges(
  context: Pick<ActionContext, 'run'>,
  root: TargetRoot,
  folder: string,
): Promise<FoundChange[]> {
  const names = new Set(
    await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
      if (error.code === 'ENOENT') return [];
      throw error;
    }),
  );
  const found: FoundChange[] = [];
  for (let index = 0; index < names.size; index++) {
    if (names.has(attributesRecordName(index))) {
      found.push(await findAttributeChange(root, folder, index));
    } else if (names.has(folderRecordName(index))) {
      found.push(await findFolderChange(root, folder, index));
    } else if (names.has(labelRecordName(index))) {
      found.push(await findLabelChange(context, root, folder, index));
    } else if (names.has(linkRecordName(index))) {
      found.push(await findLinkChange(root, folder, index));
    } else if (names.has(recordName(index))) {
      const file = await findSavedFile(root, folder, index);
      const restore = () => restoreFile(context, root, folder, file);
      found.push({ path: file.saved.path, standing: file.standing, restore });
    }
  }
  return found;
}
