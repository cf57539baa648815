import { fileEvidence, type NewFinding } from '../finding.ts';
import { unknownOptions } from '../../../target/mount-options.ts';
import { NotApplicable, type Probe, type ProbeContext } from '../probe.ts';
import { readBlockDevices, type BlockDeviceNode, type BlockDevices } from './block-devices.ts';
import {
  isOptional,
  isWithoutDevice,
  NEEDED,
  parseFstab,
  withoutPasswords,
  type FstabEntry,
} from '../../../target/fstab-lines.ts';

const FILE = '/etc/fstab';
const SUGGESTED = 'boot.repair-fstab';
const TAGS = {
  UUID: 'uuid',
  LABEL: 'label',
  PARTUUID: 'partuuid',
  PARTLABEL: 'partlabel',
} as const;
export const fstab: Probe = {
  id: 'boot.fstab',
  area: 'boot',
  offline: true,
  limitMs: 4_200,
  async look(context) {
    const text = await context.files.read(FILE);
    if (text === null) throw new NotApplicable('there is no /etc/fstab');
    const { entries, bad } = parseFstab(text);
    const findings: NewFinding[] = bad.map(({ line, text: said, why }) => ({
      rule: 'fstab.parse',
      severity: 'warning',
      subject: `line ${line}`,
      title: `Line ${line} of /etc/fstab is ignored: ${why}`,
      evidence: [fileEvidence(FILE, line, withoutPasswords(said))],
      suggestion: { action: SUGGESTED, parameters: {} },
      byHand: `Correct line ${line} of /etc/fstab, or put # before it; then: findmnt --verify.`,
    }));
    const wanted = entries.filter(needsDevice);
    if (wanted.length > 0) {
      const known = await readBlockDevices(context);
      const told = wanted.filter(({ source }) => !isOnlyNamed(context, source));
      findings.push(...judgeEntries(told, known), ...judgeTypes(told, known.devices));
      const untold = wanted.filter((entry) => !told.includes(entry));
      findings.push(...judgeNames(untold, context.volumes ?? []));
    }
    findings.push(...judgeOptions(entries));
    findings.push(...(await missingFolders(context, entries)));
    return { findings };
  },
};

function needsDevice(entry: FstabEntry): boolean {
  const { source } = entry;
  if (isWithoutDevice(entry)) return false;
  return tagOf(source) !== null || source.startsWith('/dev/');
}

/** By a name the kernel gave while the system ran: which device that was, disks alone do not tell. */
function isOnlyNamed({ volumes }: ProbeContext, source: string): boolean {
  return volumes !== undefined && source.startsWith('/dev/') && !source.startsWith('/dev/disk/');
}

/** The entries whose device this server does not have. */
function judgeEntries(
  entries: readonly FstabEntry[],
  { devices, isComplete }: BlockDevices,
): NewFinding[] {
  return entries
    .filter((entry) => sourceOf(entry, devices) === undefined)
    .map((entry) => {
      const { source, mountPoint, line, text, options, type } = entry;
      const isNeeded = !isOptional(options) && type !== 'swap';
      const stops = isNeeded && isComplete;
      const what = type === 'swap' ? 'swap' : mountPoint;
      const missing = isComplete ? 'is not there' : 'is on no device that could be read';
      return {
        rule: 'fstab.missing_source',
        severity: stops ? 'critical' : 'notice',
        subject: source,
        title: `${stops ? 'The next boot stops: ' : ''}${source} for ${what} ${missing}`,
        evidence: [fileEvidence(FILE, line, withoutPasswords(text))],
        suggestion: stops ? { action: SUGGESTED, parameters: {} } : null,
        byHand: isNeeded
          ? `Correct the device in line ${line} of /etc/fstab, or add the option nofail.`
          : `Remove line ${line} of /etc/fstab if the device will not come back.`,
      };
    });
}

/** The entries whose device holds another file system than they say. */
function judgeTypes(
  entries: readonly FstabEntry[],
  devices: readonly BlockDeviceNode[],
): NewFinding[] {
  return entries.flatMap((entry): NewFinding[] => {
    const { type, line, text, source } = entry;
    const there = sourceOf(entry, devices)?.fstype ?? null;
    if (there === null || type === 'auto' || isSameType(type, there)) return [];
    return [
      {
        rule: 'fstab.parse',
        severity: 'critical',
        subject: source,
        title: `/etc/fstab says ${type} for ${source}, which holds ${there}`,
        evidence: [fileEvidence(FILE, line, withoutPasswords(text))],
        suggestion: { action: SUGGESTED, parameters: {} },
        byHand: `Write ${there} as the type in line ${line} of /etc/fstab.`,
      },
    ];
  });
}

/** The entries by a name that another boot, or another machine, may give another device. */
function judgeNames(
  entries: readonly FstabEntry[],
  volumes: NonNullable<ProbeContext['volumes']>,
): NewFinding[] {
  return entries
    .filter(({ source }) => !volumes.some(({ paths }) => paths.includes(source)))
    .filter(({ options }) => !isOptional(options))
    .map(({ source, mountPoint, line, text }) => ({
      rule: 'fstab.kernel_name',
      severity: 'notice',
      subject: source,
      title: `Whether ${source} for ${mountPoint} is there cannot be told from the disks alone`,
      evidence: [fileEvidence(FILE, line, withoutPasswords(text))],
      suggestion: null,
      byHand: `Name it by its UUID (blkid) in line ${line} of /etc/fstab, or add the option nofail.`,
    }));
}

/** The entries that mount(8) fails at, whatever lies on the device. */
function judgeOptions(entries: readonly FstabEntry[]): NewFinding[] {
  return entries.flatMap((entry): NewFinding[] => {
    const { mountPoint, options, line, text } = entry;
    const unknown = unknownOptions(entry);
    if (unknown.length === 0) return [];
    const isNeeded = !isOptional(options);
    const isMended = unknown.some(({ meant }) => meant !== null);
    const isLetGo = isNeeded && !NEEDED.has(mountPoint);
    const names = unknown.map(({ name }) => name).join(', ');
    return [
      {
        rule: 'fstab.bad_option',
        severity: isNeeded ? 'critical' : 'warning',
        subject: mountPoint,
        title: `${mountPoint} cannot be mounted: no file system knows the option ${names}`,
        evidence: [fileEvidence(FILE, line, withoutPasswords(text))],
        suggestion: isMended || isLetGo ? { action: SUGGESTED, parameters: {} } : null,
        byHand: `Correct the options in line ${line} of /etc/fstab; then: findmnt --verify.`,
      },
    ];
  });
}

/** systemd makes a missing mount point, except where the root is not writable yet. */
async function missingFolders(
  { files }: ProbeContext,
  entries: readonly FstabEntry[],
): Promise<NewFinding[]> {
  const findings: NewFinding[] = [];
  for (const { mountPoint, line, text } of entries) {
    if (!mountPoint.startsWith('/') || mountPoint === '/') continue;
    const there = await files.stat(mountPoint).catch(() => undefined);
    if (there === undefined || there === null || there.isDirectory() || there.isFile()) continue;
    findings.push({
      rule: 'fstab.parse',
      severity: 'warning',
      subject: mountPoint,
      title: `Nothing can be mounted at ${mountPoint}, which is no folder`,
      evidence: [fileEvidence(FILE, line, withoutPasswords(text))],
      suggestion: null,
      byHand: `Make a folder of ${mountPoint}, or correct line ${line} of /etc/fstab.`,
    });
  }
  return findings;
}

/** Null for a source whose device cannot be told from here. */
function sourceOf(
  { source }: FstabEntry,
  devices: readonly BlockDeviceNode[],
): BlockDeviceNode | null | undefined {
  const tag = tagOf(source);
  if (tag !== null) return devices.find((device) => same(device[tag.key], tag.value));
  const [, folder, name] =
    /^\/dev\/disk\/by-(uuid|label|partuuid|partlabel)\/(.+)$/.exec(source) ?? [];
  if (folder !== undefined) {
    return devices.find((device) => same(device[folder as 'uuid'], name!));
  }
  const [, kernelName] = /^\/dev\/(?:mapper\/)?([^/]+)$/.exec(source) ?? [];
  if (kernelName === undefined || kernelName === 'root') return null;
  return devices.find((device) => device.name === kernelName);
}

function tagOf(source: string): { key: (typeof TAGS)[keyof typeof TAGS]; value: string } | null {
  const [, name, value] = /^(UUID|LABEL|PARTUUID|PARTLABEL)="?([^"]*)"?$/.exec(source) ?? [];
  return name === undefined ? null : { key: TAGS[name as keyof typeof TAGS], value: value! };
}

function same(there: string | null, wanted: string): boolean {
  return there !== null && there.toLowerCase() === wanted.toLowerCase();
}

function isSameType(said: string, there: string): boolean {
  const family = (type: string) => type.replace(/^ext[234]$/, 'ext').replace(/^msdos$/, 'vfat');
  return family(said) === family(there) || (said === 'ntfs-3g' && there === 'ntfs');
}
