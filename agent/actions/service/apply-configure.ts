import { join } from 'node:path';
import type { ServiceConfigureResult } from '../../../proto/actions/service.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import { StoppedError } from '../../runner/stop-control.ts';
import { makeBackupFolder } from '../filesystem/backup-place.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { makeChange, prepareChange } from '../files/change-files.ts';
import { contentDigest } from '../files/file-state.ts';
import type { PlannedFileChange } from '../files/plan-file-change.ts';
import { linkCommands, readWishes, wantedDropIn, type Wishes } from './configure-wishes.ts';
import { requireSame } from './definition-digest.ts';
import { liveUnit, requireChangeable } from './live-unit.ts';
import { configurePreconditions, configureStepTexts, LIVE } from './plan-configure.ts';
import { LINKS_AFTER, LINKS_BEFORE, putBack } from './put-back.ts';
import { mustSystemctl } from './systemctl.ts';
import { readUnit, type Unit } from './unit.ts';
import { readLinks } from './unit-links.ts';

/** Carries out a plan of `planConfigure`; what does not hold afterwards is put back at once. */
export async function applyConfigure(
  context: ActionContext,
  plan: Plan | null,
): Promise<ActionResult> {
  if (plan === null) throw new ActionError('plan_missing', 'setting up a service needs a plan');
  const wishes = readWishes(context);
  const before = await liveUnit(context, wishes.unit);
  requireChangeable(before, wishes.unit);
  const file = await wantedDropIn(context, LIVE, before, wishes);
  requireSame(plan, await configurePreconditions(before, file, await readLinks(LIVE)));
  const isPlanned = (id: string) => plan.steps.some((step) => step.id === id);
  if (plan.steps.length === 0) {
    return resultOf(context, before, before, file, 'Nothing to do: it is set up so already.', null);
  }
  const folder = await makeBackupFolder(context);
  try {
    if (file !== null && isPlanned(configureStepTexts.file.id)) {
      await changeFile(context, file, folder);
    }
    if (isPlanned(configureStepTexts.links.id)) {
      await changeLinks(context, linkCommands(before, wishes), folder);
    }
    await context.step(configureStepTexts.reload, async (confirm) => {
      await confirm([]);
      await mustSystemctl(context, ['daemon-reload'], 'reload_failed');
    });
    const after = await verify(context, wishes);
    return resultOf(context, before, after, file, doneText(after, wishes), null);
  } catch (error) {
    // Told to stop, the job leaves things as they are, and its undo is offered.
    if (error instanceof StoppedError || context.signal.aborted) throw error;
    const why = error instanceof ActionError ? error : null;
    context.note(`${(error as Error).message} Everything is put back.`);
    await putBack(context, before, folder);
    const after = await readUnit(context, wishes.unit);
    const detail = `${(error as Error).message} Everything was put back as it was.`;
    return resultOf(context, before, after, file, detail, why?.reason ?? 'configure_failed');
  }
}

async function changeFile(
  context: ActionContext,
  file: PlannedFileChange,
  folder: string,
): Promise<void> {
  await context.step(configureStepTexts.file, async (confirm) => {
    const place = { folder, index: 0 };
    const { digest } = file.precondition;
    const prepared = await prepareChange(context, LIVE, file.change, digest, place);
    await confirm(prepared.backups);
    await makeChange(context, LIVE, prepared);
  });
}

async function changeLinks(
  context: ActionContext,
  commands: readonly string[][],
  folder: string,
): Promise<void> {
  await context.step(configureStepTexts.links, async (confirm) => {
    const before = JSON.stringify(await readLinks(LIVE));
    await confirm([await writeBackup(join(folder, LINKS_BEFORE), before)]);
    for (const [, ...words] of commands) {
      await mustSystemctl(context, words, 'configure_failed');
    }
    const after = JSON.stringify(await readLinks(LIVE));
    await confirm([await writeBackup(join(folder, LINKS_AFTER), after)]);
  });
}

async function verify(context: ActionContext, wishes: Wishes): Promise<Unit> {
  let unit: Unit | null = null;
  await context.step(configureStepTexts.verify, async (confirm) => {
    await confirm([]);
    unit = await readUnit(context, wishes.unit);
    const fault = faultOf(unit, wishes);
    if (fault !== null) throw new ActionError('verify_failed', fault);
  });
  return unit!;
}

/** What is not as it was ordered; null when all is. */
function faultOf(unit: Unit, wishes: Wishes): string | null {
  const { load, enablement } = unit.standing;
  const isMasked = load === 'masked';
  if (wishes.masked !== undefined && wishes.masked !== isMasked) {
    return `${unit.id} is ${isMasked ? 'still masked' : 'not masked'}: its load state is ${load}.`;
  }
  if (!isMasked && load !== 'loaded') {
    return `systemd cannot load ${unit.id} now: ${unit.loadError || load}.`;
  }
  if (wishes.enabled !== undefined && !isMasked && wishes.enabled !== (enablement === 'enabled')) {
    return `${unit.id} is ${enablement}, not ${wishes.enabled ? 'enabled' : 'disabled'}.`;
  }
  const has = (name: string) => unit.dropIns.some((path) => path.endsWith(`.d/${name}.conf`));
  if (isMasked) return null;
  if (wishes.dropIn !== undefined && !has(wishes.dropIn)) {
    return `systemd does not read the drop-in ${wishes.dropIn} of ${unit.id}.`;
  }
  return unit.needsReload ? `systemd has not read the files of ${unit.id} again.` : null;
}

function doneText({ id, standing }: Unit, wishes: Wishes): string {
  const effect =
    (wishes.dropIn ?? wishes.removeDropIn) !== undefined && standing.active === 'active'
      ? ' It takes most settings over only when it is restarted: service.restart.'
      : '';
  return `${id} is set up as ordered: ${standing.enablement || standing.load}.${effect}`;
}

function resultOf(
  context: ActionContext,
  before: Unit,
  after: Unit,
  file: PlannedFileChange | null,
  detail: string,
  reason: string | null,
): ActionResult {
  context.note(detail);
  const digest = (bytes: Buffer | null | undefined) =>
    bytes === null || bytes === undefined ? null : contentDigest(bytes);
  const result: ServiceConfigureResult = {
    outcome: reason === null ? 'configured' : 'rolled_back',
    unit: after.id,
    before: before.standing,
    after: after.standing,
    files:
      file?.isNeeded === true && reason === null
        ? [
            {
              path: file.change.path,
              before: digest(file.before?.bytes),
              after: digest(file.change.content),
            },
          ]
        : [],
    detail: detail.slice(0, 2000),
  };
  return { succeeded: reason === null, reason, exitStatus: null, result };
}
