import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { TerminalRequest, TerminalResponse__Output } from '../../proto/wire.ts';
import { connectToRunner } from '../jobs/control-channel.ts';
import type { Job, Jobs } from '../jobs/job.ts';
import { encodeLengthAndFrame, FrameReader, TERMINAL_SOCKET } from '../jobs/terminal-socket.ts';

export type TerminalStream = ClientDuplexStream<TerminalRequest, TerminalResponse__Output>;

/** What is asked for beyond this is not opened: a control plane that lies must not take all streams. */
const RELAYS_MAX = 4;
const CONNECT_TRIES = 50;
const CONNECT_EVERY_MS = 60;

export interface TerminalRelaysOptions {
  jobs: Pick<Jobs, 'get'>;
  log: Logger;
}

/**
 * Passes frames between an engineer's program and the runner of a terminal. This process has no key of the
 * session: it can neither type nor read, and its death ends a connection, not the terminal.
 */
export class TerminalRelays {
  private readonly options: TerminalRelaysOptions;
  private readonly relays = new Set<Relay>();

  constructor(options: TerminalRelaysOptions) {
    this.options = options;
  }

  open(id: string, attachment: string, session: { openTerminal(): TerminalStream }): void {
    const { jobs, log } = this.options;
    const job = jobs.get(id);
    if (job === undefined || job.ended !== null || this.relays.size >= RELAYS_MAX) {
      log.warn({ job: id.slice(0, 100), open: this.relays.size }, 'no terminal to attach to');
      return;
    }
    const relay = new Relay(job, session.openTerminal(), () => this.relays.delete(relay));
    this.relays.add(relay);
    relay.begin(attachment).catch((error: unknown) => {
      log.warn({ job: id, err: error }, 'a terminal could not be attached to');
      relay.close();
    });
  }

  close(): void {
    for (const relay of this.relays) relay.close();
  }
}

/** The runner may still be on its way to listen. */
async function connectSoon(directory: string): Promise<Socket> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await connectToRunner(directory, TERMINAL_SOCKET);
    } catch (error) {
      if (attempt === CONNECT_TRIES) throw error;
      await sleep(CONNECT_EVERY_MS);
    }
  }
}

class Relay {
  private readonly job: Job;
  private readonly stream: TerminalStream;
  private readonly onClosed: () => void;
  private socket: Socket | null = null;
  private isClosed = false;

  constructor(job: Job, stream: TerminalStream, onClosed: () => void) {
    this.job = job;
    this.stream = stream;
    this.onClosed = onClosed;
    stream.on('error', () => this.close());
    stream.on('end', () => this.close());
  }

  async begin(attachment: string): Promise<void> {
    const socket = await connectSoon(this.job.directory);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.close());
    if (this.isClosed) {
      socket.destroy();
      return;
    }
    this.socket = socket;
    this.stream.write({ attachment: { jobId: this.job.id, attachment } });
    this.passUp(socket);
    this.passDown(socket);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.socket?.destroy();
    this.stream.end();
    this.onClosed();
  }

  /** A side that does not keep up stops the other one, so that nothing piles up here. */
  private passUp(socket: Socket): void {
    const reader = new FrameReader();
    this.stream.on('drain', () => socket.resume());
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const frame of reader.push(bytes)) {
          if (!this.isClosed && !this.stream.write({ frame })) socket.pause();
        }
      } catch {
        // Whoever is at the other end of the socket is no terminal of ours.
        this.close();
      }
    });
  }

  private passDown(socket: Socket): void {
    socket.on('drain', () => this.stream.resume());
    this.stream.on('data', (response: TerminalResponse__Output) => {
      const { frame } = response;
      if (frame === undefined || frame.length === 0 || this.isClosed) return;
      if (!socket.write(encodeLengthAndFrame(frame))) this.stream.pause();
    });
  }
}
