const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** Reads `30s`, `10m`, `1h30m`, `7d`; returns whole seconds, or null for anything else. */
export function parseDuration(text: string): number | null {
  if (!/^(?:\d{1,9}[smhd])+$/.test(text)) return null;
  let seconds = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+)([smhd])/g)) {
    seconds += Number(amount) * unitSeconds[unit as keyof typeof unitSeconds];
  }
  return seconds > 0 ? seconds : null;
}

/** How long something took: `0.2 s`, `8.4 s`, `3 min 02 s`, `2 h 05 min`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 10 * SECOND) return `${(Math.max(0, ms) / SECOND).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min ${two((ms % MINUTE) / SECOND)} s`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ${two((ms % HOUR) / MINUTE)} min`;
  return `${Math.floor(ms / DAY)} d ${Math.floor((ms % DAY) / HOUR)} h`;
}

/** Roughly how long ago or until: the largest unit alone. */
export function formatAge(ms: number): string {
  if (ms < MINUTE) return `${Math.max(0, Math.floor(ms / SECOND))} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${Math.floor(ms / DAY)} d`;
}

/** A clock that counts up: `01:48`, `1:02:03`. */
export function formatElapsed(ms: number): string {
  const hours = Math.floor(ms / HOUR);
  const rest = `${two((ms % HOUR) / MINUTE)}:${two((ms % MINUTE) / SECOND)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}

/** Time of day in the reader's zone: `06:11`, or with seconds `06:11:42`. */
export function formatClock(
  ms: number,
  timeZone: string | undefined,
  options: { seconds?: boolean } = {},
): string {
  return new Intl.DateTimeFormat('en-GB', {
    timeZone,
    hour: '2-digit',
    minute: '2-digit',
    ...(options.seconds && { second: '2-digit' }),
    hourCycle: 'h23',
  }).format(ms);
}

/** Day and time in the reader's zone, with the zone: `25 Nov 2026, 06:11 GMT+3`. */
export function formatMoment(ms: number, timeZone: string | undefined): string {
  return new Intl.DateTimeFormat('en-GB', {
    timeZone,
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'short',
  }).format(ms);
}

/** Bytes as people read them: `310 MB`, `88 kB`, `512 B`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** A number with its noun: `1 line`, `1,204 lines`; without a noun the number alone. */
export function formatCount(count: number, noun?: string): string {
  const number = new Intl.NumberFormat('en').format(count);
  if (noun === undefined) return number;
  return `${number} ${noun}${count === 1 ? '' : 's'}`;
}

function two(value: number): string {
  return String(Math.floor(value)).padStart(2, '0');
}
