import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  firewallRecoverParameters,
  type FirewallRecoverResult,
} from '../../../proto/actions/firewall.ts';
import { commandText } from '../../../proto/documents/command-text.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import { takeBackChanges } from '../files/change-steps.ts';
import { withRepairTarget } from '../files/repair-target.ts';
import { findSavedBackups } from '../files/saved-backups.ts';
import { REMOVALS, removalCommand } from './apply-recover.ts';
import { managementPorts } from './management-ports.ts';

const undoStep = {
  id: 'undo-recover',
  description: 'Take away the rules that the job made, and put the files back',
  interrupt: 'finish',
} as const;

/** Takes a recovery back, also one that was cut off; may itself be cut off and begun again. */
export function undoRecover(context: ActionContext): Promise<ActionResult> {
  return withRepairTarget(context, { write: true }, async (target) => {
    const folder = await findSavedBackups(context.undone);
    const removals = folder === null ? [] : await readRemovals(folder);
    if (folder !== null) {
      await context.step(undoStep, async (saved) => {
        await saved([]);
        await takeBackChanges(context, target.root, folder);
        // Rules of a system that does not run are in no file.
        if (target.kind === 'live') await removeAll(context, removals);
      });
    }
    const detail =
      folder === null
        ? 'Nothing had been changed: nothing to put back.'
        : 'The rules that the job made are gone, and the files are as before it.';
    context.note(detail);
    const { source } = firewallRecoverParameters.parse(context.spec.parameters);
    const ports = await managementPorts(context, target);
    const result: FirewallRecoverResult = {
      outcome: 'restored',
      ports,
      source: source ?? null,
      rules: [],
      files: [],
      detail,
    };
    return { succeeded: true, reason: null, exitStatus: null, result };
  });
}

async function readRemovals(folder: string): Promise<string[][]> {
  const text = await readFile(join(folder, REMOVALS), 'utf8').catch(() => '[]');
  return z.array(z.array(z.string()).min(1)).parse(JSON.parse(text));
}

/** One that is gone already is as wanted. */
async function removeAll(
  context: ActionContext,
  removals: readonly (readonly string[])[],
): Promise<void> {
  for (const removal of removals.toReversed()) {
    const argv = removalCommand(removal);
    const done = await context.run(argv, { output: 'both' });
    if (done.exitStatus === 0 || isGone(done.err)) continue;
    throw new ActionError('undo_incomplete', `${commandText(argv)}: ${done.err.trim()}`);
  }
}

/** In the words of iptables of either kind. */
function isGone(said: string): boolean {
  return /does a matching rule exist|Bad rule|No chain\/target\/match/.test(said);
}
