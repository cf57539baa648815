import {
  isOptional,
  isWithoutDevice,
  NEEDED,
  parseFstab,
  type FstabEntry,
} from '../../target/fstab-lines.ts';
import { unknownOptions, withMeantOptions } from '../../target/mount-options.ts';
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

/** One line that only a person can judge or correct, and why. */
export interface LineLeft {
  line: number;
  why: string;
}

const NOFAIL = 'nofail,x-systemd.device-timeout=10s';

/**
 * The smallest change of each line that keeps a boot from going on. What is certain is corrected: the root's
 * own name, the only EFI partition, a type that is another one, an option that is misspelt. What is missing for
 * good, or has an option that nothing knows, is not waited for any more (`nofail`); a line that mount(8) ignores
 * becomes a comment. No line is dropped, none moves.
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
    ...entries.flatMap((entry) => changesOf(entry, raw[entry.line - 1]!, facts)),
  ];
  return changes
    .filter(({ line }) => only === undefined || only.includes(line))
    .toSorted((a, b) => a.line - b.line);
}

/** Lines at which a boot may stop, and that no change is certain for. */
export function findLinesLeft(text: string, facts: FstabFacts): LineLeft[] {
  const { entries, bad } = parseFstab(text);
  return [
    ...bad.flatMap(({ line, mountPoint, why }) =>
      NEEDED.has(mountPoint ?? '') ? [{ line, why: `mount ignores it: ${why}` }] : [],
    ),
    ...entries
      .filter((entry) => !isOptional(entry.options))
      .flatMap((entry) => {
        const why = whyLeft(entry, facts);
        return why === null ? [] : [{ line: entry.line, why }];
      }),
  ];
}

function whyLeft(entry: FstabEntry, facts: FstabFacts): string | null {
  const { source, mountPoint } = entry;
  const lost = unknownOptions(entry).find(({ meant }) => meant === null);
  if (lost !== undefined && NEEDED.has(mountPoint)) return unknownText(entry, [lost.name]);
  if (isWithoutDevice(entry)) return null;
  const found = filesystemOf(source, facts);
  if (found === 'unknown') {
    const isDevice = source.startsWith('/dev/') || /^[A-Z]+=/.test(source);
    if (!isDevice || facts.hasDevice(source) === true) return null;
    return `whether ${source} for ${mountPoint} is there cannot be told from here`;
  }
  const isLost = found === null && NEEDED.has(mountPoint) && rightSource(entry, facts) === null;
  return isLost
    ? `${source} for ${mountPoint} is not there, and nothing says which it is to be`
    : null;
}

/** The text with these lines changed. */
export function withChanges(text: string, changes: readonly LineChange[]): string {
  const lines = text.split('\n');
  for (const { line, after } of changes) lines[line - 1] = after;
  return lines.join('\n');
}

function changesOf(entry: FstabEntry, before: string, facts: FstabFacts): LineChange[] {
  const { line } = entry;
  const { options, why } = mendedOptions(entry);
  if (why === null) return deviceChange(entry, before, facts);
  const mended = withField(before, 3, options.join(','));
  const [device] = deviceChange({ ...entry, options }, mended, facts);
  return device === undefined
    ? [{ line, before, after: mended, why }]
    : [{ line, before, after: device.after, why: `${why}; ${device.why}` }];
}

/** `why` is null where they stay. */
function mendedOptions(entry: FstabEntry): { options: string[]; why: string | null } {
  const unknown = unknownOptions(entry);
  const options = withMeantOptions(entry.options, unknown);
  const lost = unknown.filter(({ meant }) => meant === null);
  const isLetGo = lost.length > 0 && !NEEDED.has(entry.mountPoint) && !isOptional(options);
  if (!isLetGo && lost.length === unknown.length) return { options: entry.options, why: null };
  const named = unknown.filter(({ meant }) => meant !== null || isLetGo).map(({ name }) => name);
  return {
    options: isLetGo ? [...options, 'nofail'] : options,
    why: unknownText(entry, named) + (isLetGo ? ', and every boot waits for it' : ''),
  };
}

const unknownText = ({ mountPoint }: FstabEntry, names: readonly string[]) =>
  `no file system knows ${names.join(', ')} of the options for ${mountPoint}`;

function deviceChange(entry: FstabEntry, before: string, facts: FstabFacts): LineChange[] {
  const { source, type, mountPoint, line } = entry;
  if (isWithoutDevice(entry)) return [];
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
  if (NEEDED.has(mountPoint) || isOptional(options)) return [];
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
