import { existsSync } from 'node:fs';
import { repairFstabParameters } from '../../../proto/actions/boot.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target, TargetLayout } from '../../target/open-target.ts';
import { withoutPasswords } from '../../target/fstab-lines.ts';
import { parseLsblk } from '../diagnostics/filesystems/block-devices.ts';
import { fileRepair, type FileRepairPlan } from '../files/file-repair.ts';
import {
  findLineChanges,
  withChanges,
  type FstabFacts,
  type KnownFilesystem,
  type LineChange,
} from './fstab-faults.ts';

const FILE = '/etc/fstab';
const COLUMNS = 'NAME,TYPE,SIZE,FSTYPE,LABEL,UUID,PARTUUID,PARTLABEL,PARTTYPE,MOUNTPOINTS';

/** Corrects what in /etc/fstab keeps a system from starting, line by line. */
export const repairFstab = fileRepair({
  inspect,
  async findFault(context, target) {
    const [left] = await lookAt(context, target).then(({ changes }) => changes);
    return left === undefined ? null : `Line ${left.line} is still wrong: ${left.why}.`;
  },
  async announce(context) {
    // Its generators read fstab only then; where systemd does not run nobody has to be told.
    if (!existsSync('/run/systemd/system')) return;
    await context.run(['systemctl', 'daemon-reload'], { output: 'capture' });
  },
});

async function inspect(context: ActionContext, target: Target): Promise<FileRepairPlan> {
  const { text, changes } = await lookAt(context, target);
  const count = changes.length === 1 ? 'one line' : `${changes.length} lines`;
  return {
    summary:
      changes.length === 0
        ? 'Nothing to do: every line of /etc/fstab names what is there.'
        : `Correct ${count} of /etc/fstab; every other line stays as it is.`,
    findings: changes.map(({ line, why }) => `Line ${line}: ${why}.`.slice(0, 500)),
    steps:
      changes.length === 0
        ? []
        : [
            {
              id: 'fstab',
              description: `Correct ${count} of /etc/fstab`,
              changes: [
                {
                  kind: 'file',
                  path: FILE,
                  content: Buffer.from(withChanges(text, changes), 'latin1'),
                  shown: withoutPasswords,
                  mode: 0o644,
                },
              ],
              verify: 'Every line names what is there, or is not waited for.',
            },
          ],
    verify: 'The table is read again and held against the devices.',
  };
}

async function lookAt(
  context: ActionContext,
  target: Target,
): Promise<{ text: string; changes: LineChange[] }> {
  const { lines } = repairFstabParameters.parse(context.spec.parameters);
  // Byte for byte: what is written back is this text.
  const text = (await target.files.readWhole(FILE))?.toString('latin1');
  if (text === undefined) throw new ActionError('fstab_missing', `there is no ${FILE}`);
  const facts = target.layout === null ? await liveFacts(context) : offlineFacts(target.layout);
  return { text, changes: findLineChanges(text, facts, lines) };
}

function offlineFacts({ volumes, problems, system }: TargetLayout): FstabFacts {
  const isComplete = problems.length === 0;
  return { filesystems: volumes, isComplete, root: system.root, hasDevice: () => null };
}

/** What udev knows of the devices of the running system. */
async function liveFacts(context: ActionContext): Promise<FstabFacts> {
  const listed = await context.run(['lsblk', '--json', '--bytes', '--output', COLUMNS], {
    output: 'capture',
    signal: context.signal,
  });
  const root = await context.run(['findmnt', '--noheadings', '--output', 'UUID', '/'], {
    output: 'capture',
    signal: context.signal,
  });
  const filesystems = parseLsblk(listed).map((device): KnownFilesystem => ({
    type: device.fstype,
    uuid: device.uuid,
    label: device.label,
    partitionUuid: device.partuuid,
    partitionLabel: device.partlabel,
    partitionType: device.parttype,
  }));
  return {
    filesystems,
    isComplete: true,
    root: filesystems.find(({ uuid }) => uuid !== null && uuid === root.out.trim()) ?? null,
    hasDevice: existsSync,
  };
}
