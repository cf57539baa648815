import { setTimeout as sleep } from 'node:timers/promises';
import type { JournalLine } from '../../../proto/actions/service.ts';
import type { ActionContext } from '../../runner/action.ts';

type Context = Pick<ActionContext, 'run'>;

/** How long the words of a service that failed are waited for; one that says nothing costs this, too. */
const OWN_WORDS_WITHIN_MS = 2_000;
const LOOK_EVERY_MS = 100;

/** Where the journal ends now; null where there is none to read. */
export async function journalEnd(context: Context): Promise<string | null> {
  const done = await context.run(['journalctl', '--quiet', '--lines=0', '--show-cursor'], {
    output: 'capture',
  });
  return /^-- cursor: (\S+)$/m.exec(done.out)?.[1] ?? null;
}

/**
 * The last lines of a unit's journal, oldest first; after a place in it when one is given. A service's own
 * words come there by another way than what systemd says of its end: journald is waited for, which answers
 * a request to synchronize after everything that was sent to it before (journalctl(1), --sync).
 */
export async function readUnitJournal(
  context: Context,
  unit: string,
  lines: number,
  after: string | null = null,
): Promise<JournalLine[]> {
  await context.run(['journalctl', '--quiet', '--sync'], { output: 'capture' });
  const done = await context.run(
    [
      ...['journalctl', '--quiet', '--no-pager', '--output=json', `--lines=${lines}`],
      '--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER',
      ...(after === null ? [] : [`--after-cursor=${after}`]),
      `--unit=${unit}`,
    ],
    { output: 'capture' },
  );
  return done.exitStatus === 0 ? parseJournal(done.out).slice(-lines) : [];
}

/**
 * As `readUnitJournal`, of a unit that failed: on a busy machine a journal that is synchronized may still hold
 * what systemd says of the end and lack what the service said before it.
 */
export async function readFailureJournal(
  context: Context,
  unit: string,
  lines: number,
  after: string | null,
): Promise<JournalLine[]> {
  const until = performance.now() + OWN_WORDS_WITHIN_MS;
  for (;;) {
    const journal = await readUnitJournal(context, unit, lines, after);
    if (journal.some(isOwn) || performance.now() > until) return journal;
    await sleep(LOOK_EVERY_MS);
  }
}

/** Lines of `journalctl -o json`; what is no such line is left out. */
export function parseJournal(text: string): JournalLine[] {
  return text.split('\n').flatMap((line) => {
    const entry = parseEntry(line);
    return entry === null ? [] : [entry];
  });
}

function parseEntry(line: string): JournalLine | null {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
  const milliseconds = Math.floor(Number(entry['__REALTIME_TIMESTAMP']) / 1000);
  const text = messageOf(entry['MESSAGE']);
  // A date of JavaScript ends there.
  if (text === null || !(milliseconds >= 0 && milliseconds < 8.64e15)) return null;
  const level = Number(entry['PRIORITY'] ?? 6);
  const from = entry['SYSLOG_IDENTIFIER'];
  return {
    at: new Date(milliseconds).toISOString(),
    level: Number.isInteger(level) && level >= 0 && level <= 7 ? level : 6,
    from: typeof from === 'string' ? from.slice(0, 100) : '',
    text: text.slice(0, 500),
  };
}

/** A text, or the bytes of what is no text. */
function messageOf(message: unknown): string | null {
  if (typeof message === 'string') return message;
  if (!Array.isArray(message)) return null;
  const bytes = message.filter((byte): byte is number => typeof byte === 'number');
  return Buffer.from(bytes).toString('utf8');
}

const ERROR_LEVEL = 3;
const COMPLAINT =
  /\b(?:error|emerg|alert|crit|fatal|fail(?:ed|ure)?|cannot|can't|denied|invalid|unable)\b/i;
/** What systemd says of every failure, whatever its cause. */
const GENERAL = /^(?:Failed to start |Failed with result |Stopped |Stopping |Started |Starting )/;

/**
 * The line that says best why a unit failed: what the service itself called an error, else the last it
 * complained of, else what systemd says of it. Null when nobody says anything.
 */
export function reasonOf(lines: readonly JournalLine[]): string | null {
  const own = lines.filter(isOwn);
  const best =
    own.find(({ level, text }) => level <= ERROR_LEVEL || COMPLAINT.test(text)) ??
    own.at(-1) ??
    lines.findLast((line) => isSystemd(line) && isSpecific(line.text)) ??
    lines.findLast(isSystemd);
  return best?.text.trim().slice(0, 500) ?? null;
}

function isSystemd({ from }: JournalLine): boolean {
  return from === 'systemd';
}

function isOwn(line: JournalLine): boolean {
  return !isSystemd(line) && line.text.trim() !== '';
}

function isSpecific(text: string): boolean {
  return !GENERAL.test(text.replace(/^\S+: /, ''));
}
