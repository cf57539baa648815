import { join } from 'node:path';
import type { ServiceConfigureResult } from '../../../proto/actions/service.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import {
  ActionError,
  RolledBackError,
  type ActionContext,
  type ActionResult,
  type SavedBackup,
} from '../../runner/action.ts';
import { makeBackupFolder } from '../filesystem/backup-place.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { makeChange, prepareChange } from '../files/change-files.ts';
import { contentDigest } from '../files/file-state.ts';
import type { PlannedFileChange } from '../files/plan-file-change.ts';
import { linkCommands, readWishes, wantedDropIn, type Wishes } from './configure-wishes.ts';
import { requireSame } from './definition-digest.ts';
import { liveUnit, requireChangeable } from './live-unit.ts';
import {
  configureDescription,
  configurePreconditions,
  configureStep,
  LIVE,
  RELOAD,
} from './plan-configure.ts';
import { LINKS_AFTER, LINKS_BEFORE, putBack } from './put-back.ts';
import { mustSystemctl } from './systemctl.ts';
import { readUnit, type Unit } from './unit.ts';
import { readLinks } from './unit-links.ts';

/**
 * Carries out a plan of `planConfigure`. What does not hold afterwards is put back at once, and so is
 * everything when the job is told to stop.
 */
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
  if (plan.steps.length === 0) {
    return resultOf(context, before, before, file, 'Nothing to do: it is set up so already.', null);
  }
  const folder = await makeBackupFolder(context);
  const step = { ...configureStep, description: configureDescription(before) };
  let after = before;
  try {
    await context.step(
      step,
      async (saved) => {
        await change(context, before, wishes, file, folder, saved);
        after = await readUnit(context, wishes.unit);
        const fault = faultOf(after, wishes);
        if (fault !== null) throw new ActionError('verify_failed', fault);
      },
      () => putBack(context, before, folder),
    );
  } catch (error) {
    if (!(error instanceof RolledBackError)) throw error;
    after = await readUnit(context, wishes.unit);
    return resultOf(context, before, after, file, error.message, error.reason);
  }
  return resultOf(context, before, after, file, doneText(after, wishes), null);
}

/** Looks between its writes whether the job is to stop; systemd itself finishes what it was asked for. */
async function change(
  context: ActionContext,
  unit: Unit,
  wishes: Wishes,
  file: PlannedFileChange | null,
  folder: string,
  saved: (backups: SavedBackup[]) => Promise<void>,
): Promise<void> {
  const { signal } = context;
  const commands = linkCommands(unit, wishes);
  const place = { folder, index: 0 };
  const prepared =
    file?.isNeeded === true
      ? await prepareChange(context, LIVE, file.change, file.precondition.digest, place)
      : null;
  const links = async (name: string) =>
    commands.length === 0
      ? []
      : [await writeBackup(join(folder, name), JSON.stringify(await readLinks(LIVE)))];
  const backups = [...(prepared?.backups ?? []), ...(await links(LINKS_BEFORE))];
  signal.throwIfAborted();
  await saved(backups);
  if (prepared !== null) await makeChange(context, LIVE, prepared);
  for (const [, ...words] of commands) {
    signal.throwIfAborted();
    await mustSystemctl(context, words, 'configure_failed');
  }
  if (commands.length > 0) await saved(await links(LINKS_AFTER));
  signal.throwIfAborted();
  const [, ...words] = RELOAD;
  await mustSystemctl(context, words, 'reload_failed', { signal });
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
