import type { RepairAccountsParameters } from '../../../../proto/actions/access.ts';
import type { ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { planChangeSteps, type Change, type ChangeStep } from '../../files/change-steps.ts';
import { PASSWD } from '../account.ts';
import { removeObstacles } from './account-obstacles.ts';
import { repairLabels } from './repair-labels.ts';
import { repairDatabase, type DatabaseRepair } from './repair-database.ts';
import { repairPam } from './repair-pam.ts';
import { repairSudo, type SudoRepair } from './repair-sudo.ts';

export interface AccountRepairs {
  steps: ChangeStep[];
  findings: string[];
  /** What only a person can mend or decide. */
  left: string[];
}

/** What keeps one user out, or everybody; changes nothing. */
export async function findAccountRepairs(
  context: ActionContext,
  target: Target,
  { user, shell, withoutModules }: RepairAccountsParameters,
): Promise<AccountRepairs> {
  if (user !== undefined) {
    const { changes, findings } = await removeObstacles(target, user, shell);
    return { steps: [step('account', `Let ${user} log in again`, changes)], findings, left: [] };
  }
  const database = await repairDatabase(target);
  const sudo = await repairSudoOf(context, target, database);
  const pam = await repairPam(target, withoutModules ?? []);
  const labels = await repairLabels(context, target);
  const steps = [
    step('database', 'Mend the files of users and passwords', database.changes),
    step('sudo', 'Mend the files of sudo', sudo.changes),
    step('pam', 'Mend what logging in goes through (PAM)', pam.changes),
  ];
  const left = await unlabelledAfter(context, target, steps, labels.changes);
  return {
    steps: [...steps, step('labels', 'Give files the labels of SELinux that they lack', left)],
    findings: [...database.findings, ...sudo.findings, ...pam.findings, ...labels.findings],
    left: [...database.left, ...sudo.left, ...pam.left],
  };
}

/** A file that is written anew gets its label with that. */
async function unlabelledAfter(
  context: ActionContext,
  { root }: Target,
  steps: readonly ChangeStep[],
  labels: readonly Change[],
): Promise<Change[]> {
  if (labels.length === 0) return [];
  const { steps: needed } = await planChangeSteps(context, root, steps);
  const changed = needed.flatMap(({ changes }) => changes.map(({ path }) => path));
  return labels.filter(({ path }) => !changed.includes(path));
}

/** Once there is a passwd(5): nobody can be looked up before. */
async function repairSudoOf(
  context: ActionContext,
  target: Target,
  { changes }: DatabaseRepair,
): Promise<SudoRepair> {
  const passwd = changes.find(({ path }) => path === PASSWD);
  const isThere = (await target.files.stat(PASSWD)) !== null;
  if (!isThere || passwd?.kind !== 'file') return { changes: [], findings: [], left: [] };
  return repairSudo(context, target, passwd.content!);
}

function step(id: string, description: string, changes: readonly Change[]): ChangeStep {
  return { id, description, changes, verify: 'All is looked at again once it is done.' };
}
