import { join } from 'node:path';
import { restoreSshParameters, type RestoreSshResult } from '../../../../proto/actions/access.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { applyChangeSteps, planChangeSteps, type PlannedSteps } from '../../files/change-steps.ts';
import { makeBackupFolder } from '../../filesystem/backup-place.ts';
import { writeBackup } from '../../filesystem/durable-write.ts';
import { withRepairTarget } from '../../files/repair-target.ts';
import { putBackUnlessStopped } from '../../files/put-back.ts';
import { requireSamePlan } from '../../same-plan.ts';
import { makeHostKeys, type NewHostKey } from './host-keys.ts';
import { restorePlan, restoreStepTexts } from './plan-restore.ts';
import { putDaemonBack, RUN_STATE_FILE, type DaemonState } from './daemon-state.ts';
import { findGreeting, isRunning, startDaemon } from './ssh-daemon.ts';
import { findSshRepairs, type SshRepairs } from './ssh-repairs.ts';
import { faultOf } from './sshd-check.ts';

interface Done {
  files: string[];
  keys: NewHostKey[];
  answersAt: string | null;
}

/** Carries out a plan of `planRestore`; what sshd does not take is put back at once. */
export function applyRestore(context: ActionContext, plan: Plan | null): Promise<ActionResult> {
  return withRepairTarget(context, { write: true }, async (target) => {
    const parameters = restoreSshParameters.parse(context.spec.parameters);
    const repairs = await findSshRepairs(context, target, parameters);
    const { body, isStarted } = await restorePlan(context, target, repairs);
    const { preconditions } = requireSamePlan(plan, body);
    const done: Done = { files: [], keys: [], answersAt: null };
    if (body.steps.length === 0)
      return resultOf(context, repairs, done, 'nothing_to_do', body.summary);
    const folder = await makeBackupFolder(context);
    try {
      done.keys = await makeHostKeys(context, target, repairs.hostKeysToMake);
      const planned = await planChangeSteps(context, target.root, repairs.steps(done.keys));
      await applyChangeSteps(context, planned, preconditions, folder);
      await check(context, target, repairs);
      if (isStarted) await start(context, repairs, folder);
      if (target.kind === 'live') done.answersAt = await verify(context, repairs);
      done.files = pathsOf(planned);
    } catch (error) {
      const { detail, reason } = await putBackUnlessStopped(context, target, folder, error);
      await putDaemonBack(context, target, folder);
      const nothing: Done = { files: [], keys: [], answersAt: null };
      return resultOf(context, repairs, nothing, 'rolled_back', detail, reason);
    }
    return repairs.left.length === 0
      ? resultOf(context, repairs, done, 'repaired', doneText(done))
      : resultOf(context, repairs, done, 'incomplete', doneText(done), 'decision_needed');
  });
}

function pathsOf({ steps }: PlannedSteps): string[] {
  return steps.flatMap(({ changes }) => changes.map(({ path }) => path));
}

/** As it will start: with its own files and keys, and the folder that its unit makes for it. */
async function check(context: ActionContext, target: Target, { left }: SshRepairs): Promise<void> {
  await context.step(restoreStepTexts.check, async (confirm) => {
    await confirm([]);
    const fault = await faultOf(context, target);
    if (fault === null) return;
    throw new ActionError(
      'verify_failed',
      `sshd would not start: ${fault} ${left.join(' ')}`.trim(),
    );
  });
}

async function start(
  context: ActionContext,
  { service, socket }: SshRepairs,
  folder: string,
): Promise<void> {
  await context.step(restoreStepTexts.start, async (confirm) => {
    const state: DaemonState = {
      version: 1,
      service: service!,
      socket,
      wasUp: await isRunning(context, socket ?? service!),
    };
    await confirm([await writeBackup(join(folder, RUN_STATE_FILE), JSON.stringify(state))]);
    await startDaemon(context, service!, socket);
  });
}

async function verify(context: ActionContext, { sockets, service }: SshRepairs): Promise<string> {
  let at: string | null = null;
  await context.step(restoreStepTexts.verify, async (confirm) => {
    await confirm([]);
    at = await findGreeting(sockets, context.signal);
    if (at !== null) return;
    const ports = [...new Set(sockets.map(({ port }) => port))].join(', ');
    const how = service === null ? ' No unit of systemd starts it here.' : '';
    throw new ActionError('verify_failed', `Nobody greets on port ${ports}.${how}`);
  });
  return at!;
}

function doneText({ files, keys, answersAt }: Done): string {
  const prints = keys.map(({ type, fingerprint }) => `${type} ${fingerprint}`).join(', ');
  return [
    files.length === 0 ? 'sshd runs again.' : `Repaired: ${files.slice(0, 20).join(', ')}.`,
    prints === '' ? '' : `New host keys: ${prints}; clients will be warned of the change.`,
    answersAt === null ? 'sshd would start with it.' : `sshd answers at ${answersAt}.`,
  ]
    .filter((text) => text !== '')
    .join(' ');
}

function resultOf(
  context: ActionContext,
  { left }: SshRepairs,
  { files, keys, answersAt }: Done,
  outcome: RestoreSshResult['outcome'],
  detail: string,
  reason: string | null = null,
): ActionResult {
  context.note(detail);
  const result: RestoreSshResult = {
    outcome,
    files,
    newHostKeys: keys.map(({ path, type, fingerprint }) => ({ path, type, fingerprint })),
    left: left.map((text) => text.slice(0, 500)),
    answersAt,
    detail: detail.slice(0, 2000),
  };
  return { succeeded: reason === null, reason, exitStatus: null, result };
}
