import { commandEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, ProbeFailure, type Probe } from '../probe.ts';

const ENTRIES_MAX = 300;
const PROGRAMS_SHOWN = 8;
const LINES_SHOWN = 3;

/** What programs have called an error since the boot, one finding per program, the loudest first. */
export const bootErrors: Probe = {
  id: 'log.boot-errors',
  area: 'log',
  offline: true,
  limitMs: 3_500,
  async look({ files, run }) {
    const folders = ['/var/log/journal', '/run/log/journal'];
    const there = await Promise.all(folders.map((folder) => files.stat(folder)));
    if (there.every((folder) => folder === null)) throw new NotApplicable('there is no journal');
    const argv = ['journalctl', '--no-pager', '--quiet', '--boot', '--priority=err', '--reverse'];
    argv.push(`--lines=${ENTRIES_MAX}`, '--output=json');
    if (files.root !== '/') argv.push(`--directory=${files.root}/var/log/journal`);
    const done = await run(argv);
    if (/No such boot ID/.test(done.err)) throw new NotApplicable('it has no journal of a boot');
    if (done.exitStatus !== 0 && done.out === '') {
      throw new ProbeFailure(`journalctl: ${done.err.trim().slice(0, 200)}`);
    }
    return { findings: judgeEntries(done.out) };
  },
};

/** Entries as `journalctl --output=json` prints them, the newest first. */
export function judgeEntries(lines: string): NewFinding[] {
  const programs = new Map<string, { count: number; messages: string[] }>();
  for (const line of lines.split('\n')) {
    const entry = parse(line);
    // The kernel's own words have rules of their own.
    if (entry === null || entry['_TRANSPORT'] === 'kernel') continue;
    const name = text(entry['SYSLOG_IDENTIFIER']) ?? text(entry['_COMM']) ?? 'unknown';
    const known = programs.get(name) ?? { count: 0, messages: [] };
    known.count++;
    const message = text(entry['MESSAGE']) ?? '';
    if (known.messages.length < LINES_SHOWN && !known.messages.includes(message)) {
      known.messages.push(message);
    }
    programs.set(name, known);
  }
  return [...programs]
    .toSorted(([, a], [, b]) => b.count - a.count)
    .slice(0, PROGRAMS_SHOWN)
    .map(([name, { count, messages }]) => ({
      rule: 'log.boot_errors',
      severity: 'notice',
      subject: name,
      title: `${name} has logged ${count === 1 ? 'an error' : `${count} errors`} since the boot`,
      evidence: [
        commandEvidence(`journalctl --boot --priority=err -t ${name}`, messages.join('\n')),
      ],
      suggestion: null,
      byHand: `journalctl --boot --priority=err -t ${name}`,
    }));
}

function parse(line: string): Record<string, unknown> | null {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
}

/** Text with unprintable bytes comes as a list of numbers. */
function text(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return null;
  return Buffer.from(value.filter((byte) => typeof byte === 'number')).toString('utf8');
}
