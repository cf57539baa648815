import type { TerminalEnd } from '../../../proto/actions/terminal.ts';
import { FrameError } from '../../../proto/terminal/frame.ts';
import { FrameLink } from '../../../proto/terminal/frame-link.ts';
import { BYTES_MAX } from '../../../proto/terminal/messages.ts';
import type { DataMessage, ScreenSize } from '../../../proto/terminal/messages.ts';
import type { SessionKeys } from '../../../proto/terminal/session-keys.ts';
import { Pty } from '../../process/pty.ts';
import type { PtyEnd } from '../../process/pty.ts';
import type { CommandOutput } from '../../process/run-command.ts';
import type { Attachment } from './attachments.ts';
import type { Login } from './login.ts';
import { Recording } from './recording.ts';

export interface TerminalSessionOptions {
  job: string;
  keys: SessionKeys;
  login: Login;
  idleMs: number;
  recordInput: boolean;
  /** Where the recording goes. */
  output: CommandOutput;
  note: (text: string) => void;
}

export interface SessionOutcome extends PtyEnd {
  end: TerminalEnd;
  inputBytes: number;
  outputBytes: number;
  attachments: number;
}

const IDLE_LOOK_MS = 500;
/** How long a shell that was hung up may take before it is killed. */
const HANG_UP_MS = 2_000;
/** How long the engineer's program may take to say that it has everything. */
const LAST_WORDS_MS = 2_000;

/**
 * One shell and whoever is allowed to type into it. The shell starts when the first attachment has proved
 * to be the engineer's, and lives on while nobody is attached; output waits for them in the link, and the
 * shell waits when that is full. The first frame that is not the engineer's ends everything.
 */
export class TerminalSession {
  private readonly options: TerminalSessionOptions;
  private readonly link: FrameLink;
  private readonly recording = new Recording();
  private readonly outcome = Promise.withResolvers<SessionOutcome>();
  private readonly idleTimer: NodeJS.Timeout;
  private pty: Pty | null = null;
  private current: Attachment | null = null;
  private activeAt = performance.now();
  private ending: TerminalEnd | null = null;
  private inputBytes = 0;
  private outputBytes = 0;
  private isLogFull = false;

  constructor(options: TerminalSessionOptions) {
    this.options = options;
    this.link = new FrameLink('agent', options.keys, options.job, () => this.readOn());
    this.idleTimer = setInterval(() => this.lookIfIdle(), IDLE_LOOK_MS);
  }

  /** Rejects when the shell could not be started. */
  get ended(): Promise<SessionOutcome> {
    return this.outcome.promise;
  }

  /** Throws for what closes the connection. */
  take(attachment: Attachment, frame: Buffer, isFirst: boolean): void {
    try {
      if (isFirst) this.attach(attachment, frame);
      else if (attachment === this.current) this.obey(this.link.receive(frame));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.options.note(
        `A frame on the way to this terminal was not the engineer's (${error.fault}).`,
      );
      this.end('tampered');
      throw error;
    }
  }

  gone(attachment: Attachment): void {
    if (attachment !== this.current) return;
    this.current = null;
    this.link.detach();
    if (this.ending === null) this.options.note('The connection is gone; the shell goes on.');
  }

  /** Ends the shell, for a reason of this side. */
  stop(): void {
    this.end('stopped');
  }

  private attach(attachment: Attachment, frame: Buffer): void {
    const size = this.link.accept(frame, (sealed) => attachment.send(sealed));
    if (size === null) throw new Error('an older attachment');
    const former = this.current;
    this.current = attachment;
    former?.end();
    this.activeAt = performance.now();
    this.options.note(`The engineer is here (${this.link.attachments}).`);
    if (this.pty === null) this.start(size);
    else this.resize(size);
    this.readOn();
  }

  private start(size: ScreenSize): void {
    const { login, output } = this.options;
    const { TERM: term = '' } = login.environment;
    const startedAt = Math.floor(Date.now() / 1000);
    output.write('out', this.recording.header({ size, startedAt, term, shell: login.shell }));
    try {
      this.pty = Pty.start({ ...login, size, onOutput: (bytes) => this.show(bytes) });
    } catch (error) {
      this.finish();
      this.outcome.reject(error as Error);
      return;
    }
    void this.pty.ended.then((end) => this.shellEnded(end));
  }

  private obey(message: DataMessage | null): void {
    switch (message?.type) {
      case 'bytes':
        this.type(message.bytes);
        break;
      case 'resize':
        this.resize(message.size);
        break;
      case 'close':
        this.end('closed');
        break;
      default:
    }
  }

  private type(bytes: Buffer): void {
    const { pty, current } = this;
    if (pty === null || this.ending !== null) return;
    this.activeAt = performance.now();
    this.inputBytes += bytes.length;
    if (this.options.recordInput) this.options.output.write('out', this.recording.input(bytes));
    if (pty.write(bytes)) return;
    current?.pause();
    pty.onDrain(() => current?.resume());
  }

  private show(bytes: Buffer): void {
    this.outputBytes += bytes.length;
    if (this.link.isOpen) this.activeAt = performance.now();
    for (let at = 0; at < bytes.length; at += BYTES_MAX) {
      this.link.send({ type: 'bytes', bytes: bytes.subarray(at, at + BYTES_MAX) });
    }
    const { output } = this.options;
    output.write('out', this.recording.output(bytes));
    const room = output.room();
    if (room !== null) {
      this.isLogFull = true;
      void room.then(() => {
        this.isLogFull = false;
        this.readOn();
      });
    }
    if (this.isLogFull || this.link.isFull) this.pty?.pause();
  }

  private readOn(): void {
    if (!this.isLogFull && !this.link.isFull) this.pty?.resume();
  }

  private resize(size: ScreenSize): void {
    this.pty?.resize(size);
    this.options.output.write('out', this.recording.resize(size));
  }

  private lookIfIdle(): void {
    if (performance.now() - this.activeAt > this.options.idleMs) this.end('idle');
  }

  /** Once: whatever ends it first is the reason. */
  private end(end: TerminalEnd): void {
    if (this.ending !== null) return;
    this.ending = end;
    const { pty } = this;
    if (pty === null) {
      void this.shellEnded({ exitStatus: null, signal: null });
      return;
    }
    pty.hangUp();
    // What nobody reads any more must not keep the shell from ending.
    pty.resume();
    const killing = setTimeout(() => pty.kill(), HANG_UP_MS);
    void pty.ended.finally(() => clearTimeout(killing));
  }

  private async shellEnded(shell: PtyEnd): Promise<void> {
    const end = this.ending ?? 'shell_ended';
    this.ending = end;
    this.link.send({ type: 'ended', exitStatus: shell.exitStatus, reason: end });
    const until = performance.now() + LAST_WORDS_MS;
    while (this.link.isOpen && !this.link.isDrained && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.finish();
    const { inputBytes, outputBytes } = this;
    const { attachments } = this.link;
    this.outcome.resolve({ ...shell, end, inputBytes, outputBytes, attachments });
  }

  private finish(): void {
    clearInterval(this.idleTimer);
    this.link.detach();
    this.current?.end();
    this.options.output.write('out', this.recording.end());
    this.options.output.end();
  }
}
