import { setTimeout as sleep } from 'node:timers/promises';
import type { Socket } from 'node:net';
import { connectToRunner } from '../../../jobs/control-channel.ts';
import {
  encodeLengthAndFrame,
  FrameReader,
  TERMINAL_SOCKET,
} from '../../../jobs/terminal-socket.ts';
import { FrameLink } from '../../../../proto/terminal/frame-link.ts';
import type { DataMessage, ScreenSize } from '../../../../proto/terminal/messages.ts';
import type { SessionKeys } from '../../../../proto/terminal/session-keys.ts';

type Ended = Extract<DataMessage, { type: 'ended' }>;

/** For tests: the engineer's program, attached straight to the runner of a job. */
export class Engineer {
  readonly link: FrameLink;
  shown = '';
  shownBytes = 0;
  ended: Ended | null = null;
  /** Frames that were sent, newest last. */
  readonly sent: Buffer[] = [];
  private socket: Socket | null = null;
  private readonly directory: string;

  constructor(directory: string, keys: SessionKeys, job: string) {
    this.directory = directory;
    this.link = new FrameLink('engineer', keys, job);
  }

  async attach(size: ScreenSize = { rows: 24, columns: 80 }, withinMs = 20_000): Promise<void> {
    const socket = await this.connect();
    const reader = new FrameReader();
    socket.on('data', (bytes: Buffer) => {
      for (const frame of reader.push(bytes)) this.take(frame);
    });
    this.link.begin(size, (frame) => {
      this.sent.push(frame);
      this.sendRaw(frame);
    });
    await this.until('attached', () => this.link.isOpen, withinMs);
  }

  sendRaw(frame: Buffer): void {
    this.socket?.write(encodeLengthAndFrame(frame));
  }

  type(text: string): void {
    this.link.send({ type: 'bytes', bytes: Buffer.from(text) });
  }

  pause(): void {
    this.socket?.pause();
  }

  resume(): void {
    this.socket?.resume();
  }

  /** As when a connection is lost. */
  cut(): void {
    this.socket?.destroy();
    this.link.detach();
  }

  async until(what: string, condition: () => boolean, ms = 20_000): Promise<void> {
    const end = performance.now() + ms;
    while (!condition()) {
      if (performance.now() > end) throw new Error(`${what}: not in time; shown: ${this.shown}`);
      await sleep(10);
    }
  }

  untilShown(text: string | RegExp): Promise<void> {
    const has = () =>
      typeof text === 'string' ? this.shown.includes(text) : text.test(this.shown);
    return this.until(`shown ${text}`, has);
  }

  private async connect(): Promise<Socket> {
    for (let attempt = 0; ; attempt++) {
      try {
        this.socket = await connectToRunner(this.directory, TERMINAL_SOCKET);
        this.socket.on('error', () => undefined);
        return this.socket;
      } catch (error) {
        if (attempt === 500) throw error;
        await sleep(20);
      }
    }
  }

  private take(frame: Buffer): void {
    const message = this.link.receive(frame);
    if (message?.type === 'bytes') {
      this.shownBytes += message.bytes.length;
      this.shown = (this.shown + message.bytes.toString()).slice(-200_000);
    }
    if (message?.type === 'ended') this.ended = message;
  }
}
