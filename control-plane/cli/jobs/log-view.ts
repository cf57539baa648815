import { shell } from '../../../proto/documents/command-text.ts';
import type { Channel, Gap, LogRecord } from '../../../proto/spool/record.ts';
import type { JobBody } from '../api/bodies.ts';
import { LogTextFilter } from '../output/log-text-filter.ts';
import { ownCommand } from '../output/own-command.ts';
import { styled } from '../output/terminal.ts';
import type { Terminal } from '../output/terminal.ts';
import { formatBytes, formatCount } from '../output/time-text.ts';

/** Shows the log of a job as it comes. */
export interface LogView {
  take(records: readonly LogRecord[]): Promise<void>;
  /** What the program prints now, without a line end yet. */
  readonly unfinishedLine: string;
  /** The log is at its end. */
  finish(job: JobBody): Promise<void>;
}

export type ProgramChannel = Exclude<Channel, 'gap'>;

export interface TextLogOptions {
  channels: ReadonlySet<ProgramChannel>;
  /** Channels that go to stderr. */
  talk: ReadonlySet<ProgramChannel>;
  /** Bytes as they are: only into a pipe. */
  raw: boolean;
  /** Where text goes instead: a buffer, a pager. */
  sink?: (text: string, target: LogTarget) => Promise<void>;
}

export type LogTarget = 'out' | 'talk';

/** Log text for people, or its exact bytes. */
export class TextLogView implements LogView {
  private readonly terminal: Terminal;
  private readonly options: TextLogOptions;
  private readonly filters: Record<ProgramChannel, LogTextFilter>;

  constructor(terminal: Terminal, options: TextLogOptions) {
    this.terminal = terminal;
    this.options = options;
    const filter = () => new LogTextFilter({ colors: terminal.colorsOut });
    this.filters = { out: filter(), err: filter(), note: filter() };
  }

  get unfinishedLine(): string {
    return this.filters.out.unfinishedLine || this.filters.err.unfinishedLine;
  }

  async take(records: readonly LogRecord[]): Promise<void> {
    let text = '';
    let target: LogTarget = 'out';
    for (const { channel, payload } of records) {
      if (channel === 'gap') {
        await this.write(text, target);
        text = '';
        this.sayGap(payload);
        continue;
      }
      if (!this.options.channels.has(channel)) continue;
      const next = this.targetOf(channel);
      if (next !== target) {
        await this.write(text, target);
        text = '';
        target = next;
      }
      if (this.options.raw) await this.terminal.writeOutput(payload, target);
      else text += this.textOf(channel, payload);
    }
    await this.write(text, target);
  }

  async finish(job: JobBody): Promise<void> {
    for (const channel of ['out', 'err', 'note'] as const) {
      const rest = this.filters[channel].end();
      // What follows starts on a line of its own; a pipe gets what the program wrote and no more.
      const end = rest !== '' && this.terminal.outIsTty ? '\n' : '';
      await this.write(rest + end, this.targetOf(channel));
    }
    const hidden = this.filters.out.hidden + this.filters.err.hidden + this.filters.note.hidden;
    if (hidden === 0) return;
    this.terminal.say(
      styled('muted', `${formatCount(hidden, 'control sequence')} hidden`),
      ` · exact bytes: ${ownCommand(shell`intervene logs ${job.name} --raw > FILE`, this.terminal.profile)}`,
    );
  }

  private textOf(channel: ProgramChannel, payload: Uint8Array): string {
    const text = this.filters[channel].push(payload);
    if (channel !== 'note') return text;
    // A note is a line whether or not it ends with one.
    const rest = this.filters.note.end();
    return rest === '' ? text : `${text}${rest}\n`;
  }

  private targetOf(channel: ProgramChannel): LogTarget {
    return this.options.talk.has(channel) ? 'talk' : 'out';
  }

  private async write(text: string, target: LogTarget): Promise<void> {
    if (text === '') return;
    if (this.options.sink) await this.options.sink(text, target);
    else await this.terminal.writeOutput(text, target);
  }

  private sayGap(payload: Uint8Array): void {
    const gap = readGap(payload);
    const lost = gap
      ? `${formatCount(gap.missingLines, 'line')} (${formatBytes(gap.missingBytes)})`
      : 'a part';
    this.terminal.say(styled('muted', `··· gap: ${lost} not kept ···`));
  }
}

/** Log records as JSON lines. */
export class JsonLogView implements LogView {
  readonly unfinishedLine = '';
  private readonly terminal: Terminal;
  private readonly job: string;
  private readonly channels: ReadonlySet<ProgramChannel>;

  constructor(terminal: Terminal, job: string, channels: ReadonlySet<ProgramChannel>) {
    this.terminal = terminal;
    this.job = job;
    this.channels = channels;
  }

  async take(records: readonly LogRecord[]): Promise<void> {
    for (const { channel, payload, timeUs } of records) {
      const head = { at: new Date(Math.floor(timeUs / 1000)).toISOString(), job: this.job };
      if (channel === 'gap') {
        await this.terminal.printJsonLine({ type: 'gap', ...head, ...readGap(payload) });
      } else if (this.channels.has(channel)) {
        await this.terminal.printJsonLine({ type: 'log', ...head, channel, ...content(payload) });
      }
    }
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }
}

/** Shows nothing; remembers the end of the log for the case that the job fails. */
export class QuietLogView implements LogView {
  private readonly view: TextLogView;
  private readonly terminal: Terminal;
  private readonly lines: TailLines;

  constructor(terminal: Terminal, lines: number) {
    this.terminal = terminal;
    this.lines = new TailLines(lines);
    this.view = new TextLogView(terminal, {
      channels: new Set(['out', 'err', 'note']),
      talk: new Set(),
      raw: false,
      sink: async (text) => this.lines.push(text),
    });
  }

  get unfinishedLine(): string {
    return this.view.unfinishedLine;
  }

  take(records: readonly LogRecord[]): Promise<void> {
    return this.view.take(records);
  }

  async finish(job: JobBody): Promise<void> {
    await this.view.finish(job);
    if (job.state !== 'succeeded') await this.terminal.writeOutput(this.lines.text(), 'talk');
  }
}

/** The last lines of a text, however long it was. */
export class TailLines {
  private readonly most: number;
  private lines: string[] = [];
  private rest = '';

  constructor(most: number) {
    this.most = most;
  }

  push(text: string): void {
    const parts = (this.rest + text).split('\n');
    this.rest = parts.pop() ?? '';
    this.lines.push(...parts.slice(-this.most));
    if (this.lines.length > this.most) this.lines = this.lines.slice(-this.most);
  }

  text(): string {
    const kept = this.rest === '' ? this.lines : [...this.lines, this.rest].slice(-this.most);
    const ended = kept.length > 0 && this.rest === '' ? '\n' : '';
    return kept.join('\n') + ended;
  }
}

function readGap(payload: Uint8Array): Gap | null {
  try {
    const gap = JSON.parse(Buffer.from(payload).toString('utf8')) as Partial<Gap>;
    if (typeof gap.missingBytes !== 'number' || typeof gap.missingLines !== 'number') return null;
    return { missingBytes: gap.missingBytes, missingLines: gap.missingLines };
  } catch {
    return null;
  }
}

function content(payload: Buffer): { text: string } | { base64: string } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload);
    return { text };
  } catch {
    return { base64: payload.toString('base64') };
  }
}
