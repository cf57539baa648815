import { findAction } from '../../../../proto/actions/catalogue.ts';
import { failingHardware } from '../../../../proto/actions/diagnostics.ts';
import { ALL_DISKS } from '../../../../proto/documents/kinds/order.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { inspectDevice, type BlockDevice } from '../../../target/block-device.ts';
import { listUnusedDisks } from '../../../target/offline/list-disks.ts';
import { TargetFiles } from '../../../target/target-files.ts';
import { Observations, observedFolder } from '../observations.ts';
import { judgeDisks, type JudgedDisks } from './judge-disks.ts';

/** Sixteen disks, four at once, three seconds each; and one that answers late is waited for no longer. */
const WITHIN_MS = 15_000;

type Context = Pick<ActionContext, 'spec' | 'directory' | 'note'>;

/**
 * Before an action that changes the disks of its target, or the device that it names: planned, carried out or
 * undone. On a disk that fails every write may be the one that costs the data, and a plan reads a lot.
 *
 * Throws ActionError `hardware_failing`.
 */
export async function requireSoundDisks(context: Context): Promise<void> {
  if (findAction(context.spec.action)?.changes !== true) return;
  const { findings, unknown } = await judgeDisksOfOrder(context);
  for (const why of unknown) context.note(`The health of the disks is not fully known: ${why}`);
  const [failing] = failingHardware(findings);
  if (failing === undefined) return;
  const { rule, title, evidence, byHand } = failing;
  const shown = evidence.map(({ text }) => text.trim()).join('; ');
  throw new ActionError(
    'hardware_failing',
    `${title} (${rule}: ${shown}). Nothing was written. ${byHand}`,
  );
}

/** Hardware findings of the disks that an order means, by what the agent saw for the job. */
export async function judgeDisksOfOrder(
  context: Pick<Context, 'spec' | 'directory'>,
): Promise<JudgedDisks> {
  const disks = await disksOfOrder(context);
  if (disks.length === 0) return { findings: [], unknown: [] };
  const observations = new Observations(observedFolder(context.directory));
  const following = observations.follow(WITHIN_MS);
  const judged = await judgeDisks(disks, {
    observe: (name) => observations.get(name),
    observed: (prefix) => observations.matching(prefix),
    files: new TargetFiles('/'),
  });
  await following;
  return judged;
}

/** Those that are not there the action itself misses. */
async function disksOfOrder({ spec }: Pick<Context, 'spec'>): Promise<BlockDevice[]> {
  const named = spec.target === null ? spec.parameters['device'] : spec.target['disk'];
  if (typeof named !== 'string') return [];
  const paths = named === ALL_DISKS ? await listUnusedDisks() : [named];
  const found = await Promise.all(
    paths.map((path) =>
      inspectDevice(path).catch((error: unknown) => {
        if (error instanceof ActionError) return null;
        throw error;
      }),
    ),
  );
  return found.filter((disk) => disk !== null);
}
