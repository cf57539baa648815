import {
  serviceStatusParameters,
  type ServiceStatusResult,
} from '../../../proto/actions/service.ts';
import type { ActionContext, ActionResult } from '../../runner/action.ts';
import { affectedUnits } from './affected-units.ts';
import { liveUnit } from './live-unit.ts';
import { standingText, type Unit } from './unit.ts';
import { readUnitJournal, reasonOf } from './unit-journal.ts';

/** Looks at one unit; a unit that has failed is an answer, not a failure of the job. */
export async function serviceStatusApply(context: ActionContext): Promise<ActionResult> {
  const { unit: name, lines } = serviceStatusParameters.parse(context.spec.parameters);
  const unit = await liveUnit(context, name);
  const journal = await readUnitJournal(context, unit.id, lines);
  const result: ServiceStatusResult = {
    unit: unit.id,
    description: unit.description,
    standing: unit.standing,
    mainProgram: unit.program?.slice(0, 300) ?? null,
    file: unit.file,
    dropIns: [...unit.dropIns],
    requires: [...unit.requires],
    wants: [...unit.wants],
    triggeredBy: [...unit.triggeredBy],
    affected: await affectedUnits(context, unit),
    findings: findingsOf(unit, reasonOf(journal)).map((text) => text.slice(0, 500)),
    journal,
  };
  context.note(`${unit.id} is ${standingText(unit.standing)}.`);
  for (const finding of result.findings) context.note(`Finding: ${finding}`);
  return { succeeded: true, reason: null, exitStatus: null, result };
}

function findingsOf(unit: Unit, reason: string | null): string[] {
  const { standing } = unit;
  const how = [standing.result, unit.exit].filter(Boolean).join(', ');
  const said = reason === null ? '' : ` Its journal says: ${reason}`;
  return [
    standing.load === 'masked' ? 'It is masked: nothing can start it.' : '',
    !['masked', 'loaded'].includes(standing.load)
      ? `systemd cannot load it: ${unit.loadError || standing.load}.`
      : '',
    standing.active === 'failed' ? `It has failed: ${how}.${said}` : '',
    standing.sub === 'auto-restart' ? `It fails and is started over and over: ${how}.${said}` : '',
    standing.active === 'deactivating' ? 'It is stopping, and has not come to an end.' : '',
    standing.enablement === 'disabled' && standing.active === 'active'
      ? 'It runs, but is not enabled: after a reboot it does not start by itself.'
      : '',
    unit.needsReload ? 'Its files have changed since systemd has read them.' : '',
  ].filter((text) => text !== '');
}
