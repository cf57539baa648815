import { existsSync } from 'node:fs';
import { repairFstabParameters } from '../../../proto/actions/boot.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target, TargetLayout } from '../../target/open-target.ts';
import { withoutPasswords } from '../../target/fstab-lines.ts';
import { parseLsblk } from '../diagnostics/filesystems/block-devices.ts';
import { fileRepair, type FileRepairPlan } from '../files/file-repair.ts';
import {
  findLineChanges,
  findLinesLeft,
  withChanges,
  type FstabFacts,
  type KnownFilesystem,
  type LineChange,
  type LineLeft,
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
  const { text, changes, left } = await lookAt(context, target);
  const count = changes.length === 1 ? 'one line' : `${changes.length} lines`;
  return {
    summary:
      changes.length === 0
        ? `Nothing to do: ${judgedText(left)}`
        : `Correct ${count} of /etc/fstab; every other line stays as it is.`,
    findings: [
      ...changes.map(({ line, why }) => `Line ${line}: ${why}.`),
      ...left.map(({ line, why }) => `Left: line ${line}: ${why}.`),
    ].map((text) => text.slice(0, 500)),
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
              verify: judgedText(left).replace(/^./, (first) => first.toUpperCase()),
            },
          ],
    verify: 'The table is read again and held against the devices.',
  };
}

/** What holds of a table once it is as planned. */
function judgedText(left: readonly LineLeft[]): string {
  const but = left.length === 0 ? '' : `, but line ${left.map(({ line }) => line).join(', ')}`;
  return `every line of a device names one that is there, or is not waited for${but}.`;
}

async function lookAt(
  context: ActionContext,
  target: Target,
): Promise<{ text: string; changes: LineChange[]; left: LineLeft[] }> {
  const { lines } = repairFstabParameters.parse(context.spec.parameters);
  // Byte for byte: what is written back is this text.
  const text = (await target.files.readWhole(FILE))?.toString('latin1');
  if (text === undefined) throw new ActionError('fstab_missing', `there is no ${FILE}`);
  const facts = target.layout === null ? await liveFacts(context) : offlineFacts(target.layout);
  const changes = findLineChanges(text, facts, lines);
  const others = findLineChanges(text, facts).filter(({ line }) => lines?.includes(line) === false);
  const left = [...findLinesLeft(text, facts), ...others].toSorted((a, b) => a.line - b.line);
  return { text, changes, left };
}

function offlineFacts({ volumes, problems, system }: TargetLayout): FstabFacts {
  const isComplete = problems.length === 0;
  const hasDevice = (path: string) =>
    volumes.some(({ paths }) => paths.includes(path)) ? true : null;
  return { filesystems: volumes, isComplete, root: system.root, hasDevice };
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
