import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import type { Probe, ProbeContext } from '../probe.ts';
import { parseFstab } from '../../../target/fstab-lines.ts';

/** File systems of disks that a server writes to. */
const WRITTEN = /^(?:ext[234]|xfs|btrfs|f2fs|jfs|reiserfs)$/;

interface MountedSystem {
  mountPoint: string;
  type: string;
  source: string;
  isReadOnly: boolean;
}

/** File systems that the kernel does not write any more, and those that have counted errors. */
export const writeState: Probe = {
  id: 'filesystems.write-state',
  area: 'filesystems',
  limitMs: 4_200,
  async look(context) {
    const counted = await countedErrors(context);
    const seen = await context.observe('mounts');
    const fstab = parseFstab((await context.files.read('/etc/fstab')) ?? '').entries;
    // What nobody asked to have at boot was mounted by hand, and perhaps read-only on purpose.
    const written = new Set(
      fstab.filter(({ options }) => !options.includes('ro')).map(({ mountPoint }) => mountPoint),
    );
    const isMeantReadOnly = fstab.some(
      ({ mountPoint, options }) => mountPoint === '/' && options.includes('ro'),
    );
    if (!isMeantReadOnly) written.add('/');
    const readOnly = mountedSystems(seen.out).filter(
      ({ isReadOnly, mountPoint }) => isReadOnly && written.has(mountPoint),
    );
    return { findings: [...readOnly.map((system) => finding(system, seen.command)), ...counted] };
  },
};

function finding({ mountPoint, source }: MountedSystem, command: string): NewFinding {
  const isRoot = mountPoint === '/';
  return {
    rule: 'fs.read_only',
    severity: isRoot ? 'critical' : 'warning',
    subject: mountPoint,
    title: `The file system at ${mountPoint} is read-only, and /etc/fstab does not ask for that`,
    evidence: [commandEvidence(command, `${source} at ${mountPoint}: ro`)],
    suggestion: null,
    byHand:
      'Look at the health of the disk and at the kernel log first; then check the file system unmounted, from rescue.',
  };
}

/** From mountinfo: the flags of the file system itself, not of the mount the reader sees it through. */
export function mountedSystems(mountinfo: string): MountedSystem[] {
  const seen = new Set<string>();
  return mountinfo.split('\n').flatMap((line): MountedSystem[] => {
    const [before, after] = line.split(' - ');
    const [, , device, root, mountPoint] = (before ?? '').split(' ');
    const [type = '', source = '', options = ''] = (after ?? '').split(' ');
    if (root !== '/' || mountPoint === undefined || !WRITTEN.test(type)) return [];
    if (device === undefined || seen.has(device)) return [];
    seen.add(device);
    const isReadOnly = options.split(',').includes('ro');
    return [{ mountPoint: octal(mountPoint), type, source: octal(source), isReadOnly }];
  });
}

/** ext4 keeps a count of the errors it met, over boots, until it is checked. */
async function countedErrors({ files }: ProbeContext): Promise<NewFinding[]> {
  const findings: NewFinding[] = [];
  for (const device of await files.list('/sys/fs/ext4')) {
    const file = `/sys/fs/ext4/${device}/errors_count`;
    const count = Number((await files.read(file).catch(() => null))?.trim() ?? 0);
    if (!(count > 0)) continue;
    findings.push({
      rule: 'fs.ext4_errors',
      severity: 'critical',
      subject: device,
      title: `The file system on ${device} has errors (${count} counted)`,
      evidence: [fileEvidence(file, 1, String(count))],
      suggestion: { action: 'filesystem.check', parameters: { device: `/dev/${device}` } },
      byHand: `Check it unmounted, from rescue: e2fsck -fn /dev/${device}.`,
    });
  }
  return findings;
}

function octal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
