import type { FstabEntry } from '../../target/fstab-lines.ts';
import { parseFstab } from '../../target/fstab-lines.ts';
import { isEfiSystemPartition } from '../../target/efi-system-partition.ts';
import type { Volume } from '../../target/offline/volumes.ts';

/** A file system of this server, as its line of fstab could name it. */
export type KnownFilesystem = Pick<
  Volume,
  'type' | 'uuid' | 'label' | 'partitionUuid' | 'partitionLabel' | 'partitionType'
>;

/** What is known of the server besides its table. */
export interface FstabFacts {
  filesystems: readonly KnownFilesystem[];
  /** Whether these are all: nothing that may hold others stayed closed. */
  isComplete: boolean;
  /** The file system that is this system's root: the one thing that is certain. */
  root: KnownFilesystem | null;
  /** A device by a name the kernel gives: whether it is there; null where nobody can tell. */
  hasDevice: (path: string) => boolean | null;
}

/** One line that is to change, and why. */
export interface LineChange {
  line: number;
  before: string;
  after: string;
  why: string;
}

/** Types that need no device of this server. */
const DEVICELESS =
  /^(?:proc|sysfs|tmpfs|devpts|devtmpfs|nfs4?|cifs|smb3|fuse(?:\..*)?|overlay|none|auto\.?fs|9p|ceph|glusterfs|debugfs|securityfs|cgroup2?|hugetlbfs|efivarfs)$/;
/** Without these a boot does not wait for the device. */
const OPTIONAL = ['nofail', 'noauto', 'x-systemd.automount'];
const NOFAIL = 'nofail,x-systemd.device-timeout=10s';
const NEEDED = new Set(['/', '/usr', '/boot', '/etc', '/var']);

/**
 * The smallest change of each line that keeps a boot from going on. What is certain is corrected: the root's
 * own name, the only EFI partition, a type that is another one. What is missing for good is not waited for
 * any more (`nofail`); a line that mount(8) ignores becomes a comment. No line is dropped, none moves.
 */
export function findLineChanges(
  text: string,
  facts: FstabFacts,
  only?: readonly number[],
): LineChange[] {
  const { entries, bad } = parseFstab(text);
  const raw = text.split('\n');
  const changes = [
    ...bad.flatMap(({ line, mountPoint, why }): LineChange[] => {
      // What such a line is to mount nothing here can tell, and without it the system is none.
      if (NEEDED.has(mountPoint ?? '')) return [];
      const before = raw[line - 1]!;
      return [{ line, before, after: `# ${before}`, why: `mount ignores it: ${why}` }];
    }),
    ...entries.flatMap((entry) => changeOf(entry, raw[entry.line - 1]!, facts)),
  ];
  return changes
    .filter(({ line }) => only === undefined || only.includes(line))
    .toSorted((a, b) => a.line - b.line);
}

/** The text with these lines changed. */
export function withChanges(text: string, changes: readonly LineChange[]): string {
  const lines = text.split('\n');
  for (const { line, after } of changes) lines[line - 1] = after;
  return lines.join('\n');
}

function changeOf(entry: FstabEntry, before: string, facts: FstabFacts): LineChange[] {
  const { source, type, options, mountPoint, line } = entry;
  if (DEVICELESS.test(type) || options.includes('bind') || options.includes('rbind')) return [];
  const found = filesystemOf(source, facts);
  if (found === 'unknown') return [];
  if (found === null) return missing(entry, before, facts);
  if (found.type === null || type === 'auto' || isSameType(type, found.type)) return [];
  return [
    {
      line,
      before,
      after: withField(before, 2, found.type),
      why: `${source} for ${mountPoint} holds ${found.type}, not ${type}`,
    },
  ];
}

function missing(entry: FstabEntry, before: string, facts: FstabFacts): LineChange[] {
  const { line, source, mountPoint, options } = entry;
  const right = rightSource(entry, facts);
  if (right !== null) {
    const why = `${source} for ${mountPoint} is not there; it is ${right}`;
    return [{ line, before, after: withField(before, 0, right), why }];
  }
  // Without it the system is none: a boot that goes on without it would be worse than one that waits.
  if (NEEDED.has(mountPoint) || options.some((option) => OPTIONAL.includes(option))) return [];
  const said = before.trim().split(/\s+/)[3];
  const kept = said === undefined || said === 'defaults' ? 'defaults' : said;
  return [
    {
      line,
      before,
      after: withField(before, 3, `${kept},${NOFAIL}`),
      why: `${source} for ${mountPoint} is not there, and every boot waits for it`,
    },
  ];
}

/** What a line must have meant, where there is no choice. */
function rightSource({ mountPoint }: FstabEntry, facts: FstabFacts): string | null {
  if (mountPoint === '/') return facts.root?.uuid == null ? null : `UUID=${facts.root.uuid}`;
  if (mountPoint !== '/boot/efi' && mountPoint !== '/efi') return null;
  const esps = facts.filesystems.filter(
    ({ partitionType, type }) => type === 'vfat' && isEfiSystemPartition(partitionType),
  );
  return esps.length === 1 && esps[0]!.uuid !== null ? `UUID=${esps[0]!.uuid}` : null;
}

/** `unknown` where the name alone does not say which device it is. */
function filesystemOf(source: string, facts: FstabFacts): KnownFilesystem | null | 'unknown' {
  const [, tag, value] =
    /^(UUID|LABEL|PARTUUID|PARTLABEL)="?([^"]*)"?$/.exec(source) ??
    /^\/dev\/disk\/by-(uuid|label|partuuid|partlabel)\/(.+)$/.exec(source) ??
    [];
  if (tag !== undefined) {
    const key = TAGS[tag.toLowerCase() as keyof typeof TAGS];
    const wanted = unescape(value!).toLowerCase();
    const found = facts.filesystems.find((one) => one[key]?.toLowerCase() === wanted);
    return found ?? (facts.isComplete ? null : 'unknown');
  }
  if (!source.startsWith('/dev/')) return 'unknown';
  return facts.hasDevice(source) === false ? null : 'unknown';
}

const TAGS = {
  uuid: 'uuid',
  label: 'label',
  partuuid: 'partitionUuid',
  partlabel: 'partitionLabel',
} as const;

function isSameType(said: string, there: string): boolean {
  const family = (type: string) =>
    type
      .replace(/^ext[234]$/, 'ext')
      .replace(/^msdos$/, 'vfat')
      .replace(/^(?:ntfs3|ntfs-3g|lowntfs-3g)$/, 'ntfs')
      // As a system leaves it that sleeps on disk.
      .replace(/^swsuspend$/, 'swap');
  return family(said) === family(there);
}

/** Names below /dev/disk, as udev writes what no file name should hold. */
function unescape(name: string): string {
  const bytes = name.replace(/\\x([\da-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return bytes === name ? name : Buffer.from(bytes, 'latin1').toString();
}

/** The line with one field replaced and every blank as it was; a field that is missing comes at the end. */
function withField(line: string, index: number, value: string): string {
  const pieces = line.split(/(\s+)/);
  const first = pieces[0] === '' ? 2 : 0;
  const at = first + index * 2;
  if (pieces[at] === undefined || pieces[at] === '') return `${line.trimEnd()} ${value}`;
  pieces[at] = value;
  return pieces.join('');
}
