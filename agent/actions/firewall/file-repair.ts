import { isUtf8 } from 'node:buffer';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import type { Packet } from '../diagnostics/firewall/packet-path.ts';
import type { ChangeStep } from '../files/change-steps.ts';

/** What is to get in, and where it is looked after. */
export interface Look {
  context: ActionContext;
  target: Target;
  packets: readonly Packet[];
  /** An address of which bans are lifted. */
  unban?: string | undefined;
}

/** For what needs no more than the target's files. */
export interface FilesLook extends Pick<Look, 'packets'> {
  target: Pick<Target, 'files'>;
}

/** What one kind of firewall files needs. */
export interface FileRepairs {
  steps: ChangeStep[];
  /** What people must know and no step does. */
  findings: string[];
  /** What takes the rules of the files away once a boot has made them hold; see `LiveOpening`. */
  removals: string[][];
}

export const nothingToRepair: FileRepairs = { steps: [], findings: [], removals: [] };

export const LETS_IN = 'Let SSH in after a boot, too';
export const CORRECTS =
  'Correct a misspelt word, so that the firewall loads at the next boot and lets SSH in';

export function together(all: readonly FileRepairs[]): FileRepairs {
  return {
    steps: all.flatMap(({ steps }) => steps),
    findings: all.flatMap(({ findings }) => findings),
    removals: all.flatMap(({ removals }) => removals),
  };
}

/** A file of rules, whole: null where there is none, and where it is none that could be written back. */
export async function readRules(files: TargetFiles, path: string): Promise<string | null> {
  const bytes = await files.readWhole(path).catch(() => null);
  return bytes !== null && isUtf8(bytes) ? bytes.toString() : null;
}

/** Whether a unit starts with the system: some unit wants it. */
export async function isUnitEnabled(files: TargetFiles, unit: string): Promise<boolean> {
  const folder = '/etc/systemd/system';
  for (const name of await files.list(folder)) {
    if (!/\.(?:wants|requires)$/.test(name)) continue;
    if ((await files.lstat(`${folder}/${name}/${unit}`)) !== null) return true;
  }
  return false;
}
