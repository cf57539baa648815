import type { OutputStream, Surroundings } from '../surroundings.ts';
import { harmless, harmlessJson } from '../../../proto/documents/harmless-text.ts';
import { ownCommand } from './own-command.ts';

/** The six status colours, and weight for the outcome alone. */
export type Style = 'ok' | 'warn' | 'bad' | 'info' | 'idle' | 'stop' | 'bold' | 'muted';

const sequences: Record<Style, string> = {
  ok: '\u001b[32m',
  warn: '\u001b[33m',
  bad: '\u001b[31m',
  info: '\u001b[36m',
  idle: '\u001b[90m',
  stop: '\u001b[35m',
  bold: '\u001b[1m',
  muted: '\u001b[2m',
};

/** A piece of a line. What is printed is always made harmless, wherever the text came from. */
export type Piece = string | StyledText;

export interface StyledText {
  text: string;
  style: Style | null;
  /** Shown on a terminal only: glyphs, bars. */
  decoration: boolean;
}

export function styled(style: Style, text: string): StyledText {
  return { text, style, decoration: false };
}

/** A sign for the eye that says nothing the words beside it do not say; left out off a terminal. */
export function glyph(style: Style, text: string): StyledText {
  return { text: `${text} `, style, decoration: true };
}

/** How a command to copy is told. */
export interface NextLine {
  /** Stands where `Next` stands otherwise: `Undo`. */
  label?: string;
  /** A sentence in front of it, on the same line. */
  after?: string;
  /** Somebody else runs it, under a profile of their own. */
  who?: string;
  note?: string;
}

/** Data goes to stdout; everything said to the person goes to stderr. */
export class Terminal {
  readonly json: boolean;
  /** Who the person is here; commands to copy name it. */
  readonly profile: string;
  readonly outIsTty: boolean;
  readonly talkIsTty: boolean;
  /** Whether program output on stdout may keep its colours. */
  readonly colorsOut: boolean;
  private readonly colorsTalk: boolean;
  private readonly out: OutputStream;
  private readonly talk: OutputStream;
  private statusLine: { clear(): void; draw(): void } | null = null;
  /** Whether the last output ended its line; the status line never shares one with a program's text. */
  private atLineStart = true;

  constructor(
    surroundings: Pick<Surroundings, 'stdout' | 'stderr' | 'color'>,
    options: { json: boolean; color: boolean; profile?: string },
  ) {
    this.out = surroundings.stdout;
    this.talk = surroundings.stderr;
    this.json = options.json;
    this.profile = options.profile ?? 'default';
    this.outIsTty = this.out.isTTY === true;
    this.talkIsTty = this.talk.isTTY === true;
    const color = surroundings.color && options.color;
    this.colorsOut = color && this.outIsTty;
    this.colorsTalk = color && this.talkIsTty;
  }

  /** Columns of the terminal on stdout; unbounded elsewhere. */
  get columns(): number {
    return this.outIsTty ? columnsOf(this.out) : Number.POSITIVE_INFINITY;
  }

  get talkColumns(): number {
    return this.talkIsTty ? columnsOf(this.talk) : Number.POSITIVE_INFINITY;
  }

  /** A line of data. */
  print(...pieces: Piece[]): void {
    this.write(this.out, `${render(pieces, this.outIsTty, this.colorsOut)}\n`);
  }

  /** A name or id as data, for programs: the sentence beside it tells it to the person. */
  printName(name: string): void {
    if (!this.outIsTty) this.print(name);
  }

  /** A line of data for programs: tab-separated, nothing cut. */
  printFields(fields: readonly string[]): void {
    this.write(this.out, `${fields.map(harmless).join('\t')}\n`);
  }

  /** A line for the person. */
  say(...pieces: Piece[]): void {
    this.write(this.talk, `${render(pieces, this.talkIsTty, this.colorsTalk)}\n`);
  }

  /** A command to copy, which `shell` has quoted: `Next: intervene --profile erin jobs list`. */
  sayNext(command: string, { label = 'Next', after, who, note }: NextLine = {}): void {
    const line = who === undefined ? ownCommand(command, this.profile) : `${who} runs ${command}`;
    this.say(
      `${after === undefined ? '' : `${after} `}${label}: ${line}`,
      note === undefined ? '' : `   (${note})`,
    );
  }

  /** JSON as data: one line, or indented for a person who looks at it. */
  printJson(value: unknown): void {
    this.write(this.out, `${harmlessJson(value, this.outIsTty ? 2 : undefined)}\n`);
  }

  /** One JSON line of a stream. Resolves when more may be written. */
  printJsonLine(value: unknown): Promise<void> {
    return this.flow(this.out, `${harmlessJson(value)}\n`);
  }

  sayJson(value: unknown): void {
    this.write(this.talk, `${harmlessJson(value)}\n`);
  }

  /**
   * Program output that a `LogTextFilter` has made safe, or raw bytes into a pipe. Resolves when more may
   * be written, so that a slow reader slows the source.
   */
  writeOutput(text: string | Uint8Array, stream: 'out' | 'talk' = 'out'): Promise<void> {
    if (text.length === 0) return Promise.resolve();
    return this.flow(stream === 'out' ? this.out : this.talk, text);
  }

  /** The line at the bottom that moves; cleared before anything else is written, drawn again after. */
  attachStatusLine(line: { clear(): void; draw(): void } | null): void {
    this.statusLine?.clear();
    this.statusLine = line;
  }

  /** Text as it would be printed for the person, for the status line. */
  renderTalk(pieces: Piece[]): string {
    return render(pieces, this.talkIsTty, this.colorsTalk);
  }

  /** Moves and erases: only for the status line, only on a terminal. */
  writeControl(text: string): void {
    if (this.talkIsTty && this.atLineStart) this.talk.write(text);
  }

  private write(stream: OutputStream, text: string): void {
    this.statusLine?.clear();
    stream.write(text);
    this.atLineStart = true;
    this.statusLine?.draw();
  }

  private async flow(stream: OutputStream, text: string | Uint8Array): Promise<void> {
    this.statusLine?.clear();
    const roomLeft = stream.write(text);
    this.atLineStart = text.at(-1) === (typeof text === 'string' ? '\n' : 10);
    if (this.atLineStart) this.statusLine?.draw();
    if (roomLeft) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        stream.off('drain', done).off('error', done).off('close', done);
        resolve();
      };
      stream.on('drain', done).on('error', done).on('close', done);
    });
  }
}

/** A terminal that does not know its width says 0. */
function columnsOf({ columns = 0 }: OutputStream): number {
  return columns > 0 ? columns : 80;
}

function render(pieces: readonly Piece[], tty: boolean, color: boolean): string {
  let line = '';
  for (const piece of pieces) {
    if (typeof piece === 'string') {
      line += harmless(piece);
    } else if (tty || !piece.decoration) {
      const text = harmless(piece.text);
      line += color && piece.style !== null ? `${sequences[piece.style]}${text}\u001b[0m` : text;
    }
  }
  return line;
}
