import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { FrameError } from '../../../proto/terminal/frame.ts';
import { FrameLink, LINK_SILENCE_MS } from '../../../proto/terminal/frame-link.ts';
import { BYTES_MAX } from '../../../proto/terminal/messages.ts';
import type { DataMessage, ScreenSize } from '../../../proto/terminal/messages.ts';
import type { SessionKeys } from '../../../proto/terminal/session-keys.ts';
import { reference } from '../api/api-client.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { JobBody } from '../api/bodies.ts';
import { ResponseError } from '../api/response-error.ts';
import { UnreachableError } from '../cli-error.ts';
import { isFinal } from '../output/job-states.ts';
import { EscapeKeys } from './escape-keys.ts';
import { ScreenFilter } from './screen-filter.ts';

/** Why the session is over, as far as this side knows. */
export type TerminalOver =
  | { by: 'agent'; exitStatus: number | null; reason: string }
  /** The job ended while nobody was attached. */
  | { by: 'job' }
  /** The person left while there was no connection. */
  | { by: 'left' }
  /** What arrived was not what the agent sent. */
  | { by: 'fault'; error: FrameError };

/** The person's own terminal, in raw mode. */
export interface Screen {
  readonly size: ScreenSize;
  onTyped(listener: (bytes: Buffer) => void): void;
  onResize(listener: () => void): void;
  pauseTyping(): void;
  resumeTyping(): void;
  /** False when the person's terminal does not keep up. */
  show(bytes: Buffer): boolean;
  onRoom(listener: () => void): void;
  /** A line from this program. */
  say(text: string): void;
}

const FIRST_RETRY_MS = 250;
const RETRY_MAX_MS = 5_000;
const LOOK_MS = 1_000;
const GOODBYE_MS = 3_000;

const HELP = [
  'Keys of this program, after Enter:',
  '  ~.  leave, and end the terminal',
  '  ~?  this help',
  '  ~~  a tilde',
];

/** The engineer's side of a terminal, over as many connections as it takes. */
export class TerminalClient {
  private readonly api: ApiClient;
  private readonly job: JobBody;
  private readonly screen: Screen;
  private readonly link: FrameLink;
  private readonly keys = new EscapeKeys();
  private readonly filter = new ScreenFilter();
  private readonly over = Promise.withResolvers<TerminalOver>();
  private readonly leaving = new AbortController();
  private socket: WebSocket | null = null;
  private heardAt = 0;
  private isLost = false;
  private isClosing = false;
  /** The agent said that it is over: the connection that ends next is not lost. */
  private isEndKnown = false;

  constructor(api: ApiClient, job: JobBody, keys: SessionKeys, screen: Screen) {
    this.api = api;
    this.job = job;
    this.screen = screen;
    this.link = new FrameLink('engineer', keys, job.id, () => screen.resumeTyping());
    screen.onTyped((bytes) => this.type(bytes));
    screen.onResize(() => {
      if (this.link.isOpen) this.link.send({ type: 'resize', size: screen.size });
    });
    screen.onRoom(() => this.socket?.resume());
  }

  /** Attaches, and attaches again, until the session is over. Throws CliError when it cannot be joined. */
  async run(): Promise<TerminalOver> {
    const watch = setInterval(() => this.lookForSilence(), LOOK_MS);
    try {
      this.keepAttached().catch((error: unknown) => this.over.reject(error as Error));
      return await this.over.promise;
    } finally {
      clearInterval(watch);
      this.leaving.abort();
      this.link.detach();
      this.socket?.terminate();
    }
  }

  /** Leaves as `~.` does. */
  leave(): void {
    if (this.isClosing || !this.link.isOpen) {
      this.over.resolve({ by: 'left' });
      return;
    }
    this.isClosing = true;
    this.link.send({ type: 'close' });
    setTimeout(() => this.over.resolve({ by: 'left' }), GOODBYE_MS).unref();
  }

  private async keepAttached(): Promise<void> {
    for (let waitMs = FIRST_RETRY_MS; !this.leaving.signal.aborted;) {
      if (await this.attach()) waitMs = FIRST_RETRY_MS;
      if (this.leaving.signal.aborted || this.isEndKnown || (await this.hasEnded())) return;
      this.sayLost();
      await sleep(waitMs * (0.5 + Math.random() / 2), undefined, {
        signal: this.leaving.signal,
      }).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, RETRY_MAX_MS);
    }
  }

  /** One connection from its begin to its end; resolves to whether the agent answered on it. */
  private async attach(): Promise<boolean> {
    let socket: WebSocket;
    try {
      socket = await this.api.openSocket(`/api/v1/jobs/${reference(this.job.id)}/terminal`);
    } catch (error) {
      if (isPassing(error)) return false;
      throw error;
    }
    this.socket = socket;
    this.heardAt = performance.now();
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    let wasOpen = false;
    socket.on('message', (data: Buffer) => {
      this.take(data);
      wasOpen ||= this.link.isOpen;
    });
    this.link.begin(this.screen.size, (frame) => {
      if (socket.readyState === socket.OPEN) socket.send(frame);
    });
    await closed;
    this.socket = null;
    this.link.detach();
    return wasOpen;
  }

  private take(frame: Buffer): void {
    this.heardAt = performance.now();
    const wasOpen = this.link.isOpen;
    let message: DataMessage | null;
    try {
      message = this.link.receive(frame);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.over.resolve({ by: 'fault', error });
      return;
    }
    if (!wasOpen && this.link.isOpen) this.attached();
    if (message?.type === 'bytes') {
      if (!this.screen.show(this.filter.push(message.bytes))) this.socket?.pause();
    } else if (message?.type === 'ended') {
      this.isEndKnown = true;
      this.link.acknowledge();
      const { exitStatus, reason } = message;
      // The agent waits for the acknowledgement before it lets go.
      setTimeout(() => this.over.resolve({ by: 'agent', exitStatus, reason }), 50);
    }
  }

  private attached(): void {
    // Something that the agent acknowledges: from then on both sides are heard every few seconds.
    this.link.send({ type: 'resize', size: this.screen.size });
    if (this.isLost) this.screen.say('Connected again; what was missed follows.');
    this.isLost = false;
  }

  private type(typed: Buffer): void {
    const { bytes, command } = this.keys.push(typed);
    // Typed while nobody takes it: kept up to the window, so that a paste cannot fill the memory.
    const isTaken = this.link.isOpen || !this.link.isFull;
    for (let at = 0; isTaken && at < bytes.length; at += BYTES_MAX) {
      this.link.send({ type: 'bytes', bytes: bytes.subarray(at, at + BYTES_MAX) });
    }
    if (this.link.isFull && this.link.isOpen) this.screen.pauseTyping();
    if (command === 'leave') this.leave();
    if (command === 'help') for (const line of HELP) this.screen.say(line);
  }

  private async hasEnded(): Promise<boolean> {
    try {
      const job = await this.api.get<JobBody>(`/api/v1/jobs/${reference(this.job.id)}`);
      if (!isFinal(job.state)) return false;
      this.over.resolve({ by: 'job' });
      return true;
    } catch (error) {
      if (isPassing(error)) return false;
      throw error;
    }
  }

  private sayLost(): void {
    if (this.isLost) return;
    this.isLost = true;
    this.screen.say('The connection is lost; the terminal goes on. Connecting again … (~. leaves)');
  }

  private lookForSilence(): void {
    if (this.socket === null || this.socket.isPaused) {
      this.heardAt = performance.now();
      return;
    }
    if (performance.now() - this.heardAt > LINK_SILENCE_MS) this.socket.terminate();
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof UnreachableError) return true;
  return error instanceof ResponseError && (error.isPassing || error.code === 'terminal_ended');
}
