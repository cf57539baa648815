import type { ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import type { status as codes } from '@grpc/grpc-js';
import type { ConnectRequest, ConnectResponse__Output } from '../../proto/wire.ts';
import type { ControlPlaneClient } from './channel.ts';
import type { Greeting, Incoming, Outgoing } from './courier.ts';
import type { UploadStream } from './log-upload.ts';
import type { TerminalStream } from './terminal-relay.ts';
import { decodeIncoming, encodeHello, encodeOutgoing } from './messages.ts';

export interface SessionTimings {
  /** From the attempt's begin to the welcome. */
  attemptMs: number;
  heartbeatMs: number;
  /** A session without a word for this long is half-open. */
  silenceMs: number;
}

/** Why a session is over. */
export type SessionEnd =
  /** The connection failed or never came up. */
  | { why: 'lost'; error: Error; code: codes | null }
  /** Nothing was heard for too long. */
  | { why: 'silent' }
  /** The control plane is about to stop and asked to come back. */
  | { why: 'drained'; reconnectAfterMs: number }
  /** This side ended it. */
  | { why: 'closed' };

export interface SessionOptions {
  client: ControlPlaneClient;
  greeting: Greeting;
  timings: SessionTimings;
  /** Every message but heartbeats, the welcome first. */
  onMessage: (message: Incoming, session: Session) => void;
  /** The stream takes messages again. */
  onWritable: () => void;
}

/** One session: the Connect stream from hello to its end. */
export class Session {
  readonly ended: Promise<SessionEnd>;
  private readonly options: SessionOptions;
  private readonly stream: ClientDuplexStream<ConnectRequest, ConnectResponse__Output>;
  private readonly timers: NodeJS.Timeout[] = [];
  private finish!: (end: SessionEnd) => void;
  private heardAt = performance.now();
  private welcomed = false;
  private over = false;
  private writable = true;

  constructor(options: SessionOptions) {
    this.options = options;
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.ended = promise;
    this.finish = resolve;
    this.stream = options.client.connect();
    this.stream.on('data', (message: ConnectResponse__Output) => this.receive(message));
    this.stream.on('drain', () => {
      this.writable = true;
      options.onWritable();
    });
    this.stream.on('error', (error: Error & Partial<StatusObject>) => {
      this.end({ why: 'lost', error, code: error.code ?? null });
    });
    this.stream.on('end', () => {
      this.end({
        why: 'lost',
        error: new Error('the control plane ended the session'),
        code: null,
      });
    });
    this.startTimers();
    this.stream.write(encodeHello(options.greeting));
  }

  /** Whether the control plane has welcomed this agent, and the session goes on. */
  get isOpen(): boolean {
    return this.welcomed && !this.over;
  }

  get wasWelcomed(): boolean {
    return this.welcomed;
  }

  /** False while the stream has enough to send; `onWritable` says when that changes. */
  get isWritable(): boolean {
    return this.isOpen && this.writable;
  }

  send(message: Outgoing): void {
    if (!this.isOpen) return;
    this.writable = this.stream.write(encodeOutgoing(message));
  }

  openUpload(): UploadStream {
    const upload = this.options.client.uploadLog();
    upload.on('data', () => this.hear());
    return upload;
  }

  openTerminal(): TerminalStream {
    return this.options.client.terminal();
  }

  /** Milliseconds since the control plane was last heard in this session. */
  get silentForMs(): number {
    return performance.now() - this.heardAt;
  }

  /** The other end does not answer here, and would on a new connection. */
  giveUp(): void {
    this.end({ why: 'silent' });
  }

  close(): void {
    this.stream.end();
    this.end({ why: 'closed' });
  }

  private startTimers(): void {
    const { attemptMs, heartbeatMs, silenceMs } = this.options.timings;
    this.timers.push(
      setTimeout(() => {
        if (this.welcomed) return;
        this.end({ why: 'lost', error: new Error('no welcome in time'), code: null });
      }, attemptMs),
      setInterval(() => this.send({ type: 'heartbeat' }), heartbeatMs),
      setInterval(() => {
        if (this.welcomed && this.silentForMs > silenceMs) this.end({ why: 'silent' });
      }, silenceMs / 15),
    );
  }

  /** False when what arrives is too late: this process was stopped or frozen for longer than the limit. */
  private hear(): boolean {
    if (this.over) return false;
    if (this.welcomed && this.silentForMs > this.options.timings.silenceMs) {
      this.end({ why: 'silent' });
      return false;
    }
    this.heardAt = performance.now();
    return true;
  }

  private receive(wire: ConnectResponse__Output): void {
    if (!this.hear()) return;
    const message = decodeIncoming(wire);
    if (message === null || message.type === 'heartbeat') return;
    if (!this.welcomed && message.type !== 'welcome') {
      const error = new Error(`${message.type} before the welcome`);
      this.end({ why: 'lost', error, code: null });
      return;
    }
    if (message.type === 'welcome') {
      if (this.welcomed) return;
      this.welcomed = true;
    }
    if (message.type === 'drain') {
      this.stream.end();
      this.end({ why: 'drained', reconnectAfterMs: message.reconnectAfterMs });
      return;
    }
    this.options.onMessage(message, this);
  }

  private end(end: SessionEnd): void {
    if (this.over) return;
    this.over = true;
    for (const timer of this.timers) clearInterval(timer);
    if (end.why !== 'closed' && end.why !== 'drained') this.stream.cancel();
    this.finish(end);
  }
}
