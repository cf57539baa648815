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
