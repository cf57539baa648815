/** One line of fstab(5). */
export interface FstabEntry {
  line: number;
  text: string;
  source: string;
  mountPoint: string;
  type: string;
  options: string[];
}

export interface Fstab {
  entries: FstabEntry[];
  /** Lines that mount(8) ignores, and why; `mountPoint` as far as there is one. */
  bad: { line: number; text: string; mountPoint: string | null; why: string }[];
}

/** Types that need no device of this server. */
const DEVICELESS =
  /^(?:proc|sysfs|tmpfs|devpts|devtmpfs|nfs4?|cifs|smb3|fuse(?:\..*)?|overlay|none|auto\.?fs|9p|ceph|glusterfs|debugfs|securityfs|cgroup2?|hugetlbfs|efivarfs)$/;
/** Without these a boot does not wait for the device, or nothing is mounted at boot at all. */
const OPTIONAL = ['nofail', 'noauto', 'x-systemd.automount'];
/** Without these the system is none: a boot that goes on without one would be worse than one that waits. */
export const NEEDED: ReadonlySet<string> = new Set(['/', '/usr', '/boot', '/etc', '/var']);

/** Whether a boot goes on without it. */
export function isOptional(options: readonly string[]): boolean {
  return options.some((option) => OPTIONAL.includes(option));
}

export function isWithoutDevice({ type, options }: FstabEntry): boolean {
  return DEVICELESS.test(type) || options.includes('bind') || options.includes('rbind');
}

/** Reads fstab the way libmount does: fields between blanks, octal escapes, comments at the line's start. */
export function parseFstab(text: string): Fstab {
  const fstab: Fstab = { entries: [], bad: [] };
  for (const [at, raw] of text.split('\n').entries()) {
    const trimmed = raw.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const line = at + 1;
    const fields = trimmed.split(/\s+/);
    const [source, mountPoint, type, options = 'defaults', frequency = '0', pass = '0'] = fields;
    const why = whyBad(fields, mountPoint, frequency, pass);
    if (source === undefined || mountPoint === undefined || type === undefined || why !== null) {
      fstab.bad.push({
        ...{ line, text: trimmed, mountPoint: mountPoint ?? null },
        why: why ?? 'a field is missing',
      });
      continue;
    }
    fstab.entries.push({
      line,
      text: trimmed,
      source: unescape(source),
      mountPoint: unescape(mountPoint),
      type,
      options: options.split(','),
    });
  }
  return fstab;
}

function whyBad(
  fields: readonly string[],
  mountPoint: string | undefined,
  frequency: string,
  pass: string,
): string | null {
  if (fields.length < 3) return 'a field is missing';
  const isPlace = mountPoint!.startsWith('/') || ['none', 'swap'].includes(mountPoint!);
  if (!isPlace) return 'the mount point is no absolute path';
  if (!/^\d+$/.test(frequency) || !/^\d+$/.test(pass)) return 'field 5 or 6 is no number';
  return null;
}

function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** A line as people are shown it: file servers take their passwords there, too. */
export function withoutPasswords(line: string): string {
  return line.replace(/\b(pass(?:word)?\d?)=[^,\s]*/gi, '$1=…');
}
