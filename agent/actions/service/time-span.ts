const UNITS: Record<string, number> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  month: 30.44 * 86_400_000,
  y: 365.25 * 86_400_000,
};

/** A span as systemctl prints it (`1min 30s`), in milliseconds. Null for `infinity` and what is none. */
export function parseTimeSpan(text: string): number | null {
  if (text === '0') return 0;
  let sum = 0;
  for (const part of text.split(' ')) {
    const [, number, unit] = /^(\d+(?:\.\d+)?)([a-z]+)$/.exec(part) ?? [];
    const factor = unit === undefined ? undefined : UNITS[unit];
    if (number === undefined || factor === undefined) return null;
    sum += Number(number) * factor;
  }
  return Math.round(sum);
}

/** A time as systemctl prints it where the time zone is UTC, as RFC 3339. Null for what is none. */
export function parseSystemdTime(text: string): string | null {
  const [, day, time] = /^[A-Z][a-z]{2} (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)/.exec(text) ?? [];
  return day === undefined || time === undefined ? null : `${day}T${time}Z`;
}
