import { setTimeout as sleep } from 'node:timers/promises';
import { status as codes } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { wireLimits } from '../../proto/wire.ts';
import { attemptMs, backoffMs } from './backoff.ts';
import { canConnect, openChannel } from './channel.ts';
import type { Channel, ChannelOptions } from './channel.ts';
import type { Greeting, Incoming } from './courier.ts';
import type { AgentIdentity } from './identity.ts';
import { PathWatch } from './path-watch.ts';
import type { PathWatchTimings } from './path-watch.ts';
import { CertificateKeeper } from './renew.ts';
import { Session } from './session.ts';
import type { SessionEnd, SessionTimings } from './session.ts';

export type ConnectionState =
  /** Not started, or stopped for good. */
  | 'stopped'
  /** A connection is being made, up to the welcome. */
  | 'connecting'
  /** Welcomed: jobs arrive, reports leave. */
  | 'connected'
  /** Between two attempts. */
  | 'waiting';

export interface ConnectionOptions {
  /** `host:port`, tried in turn. */
  addresses: readonly string[];
  identity: AgentIdentity;
  /** Milliseconds since 1970, of the trusted clock. */
  nowMs: () => number;
  greeting: () => Greeting;
  /** Whether there are jobs of which the control plane does not have everything yet. */
  isBusy: () => boolean;
  /** Every message but heartbeats, the welcome first. */
  onMessage: (message: Incoming, session: Session) => void;
  /** The session takes messages again. */
  onWritable: () => void;
  onState: (state: ConnectionState) => void;
  saveCertificate: (pem: string) => Promise<void>;
  log: Logger;
  timings?: Pick<SessionTimings, 'heartbeatMs' | 'silenceMs'>;
  pathTimings?: PathWatchTimings;
}

/** Silence: less than the limit, so that the limit holds whatever the timer does. */
const TIMINGS = { heartbeatMs: 4_000, silenceMs: wireLimits.silenceMs - 1_000 };
/** How long a probe of the path may take: a SYN that is lost is better sent anew than waited for. */
const PROBE_MS = 1_000;
/** A session that lived this long was a success: the next failure counts as the first. */
const STEADY_MS = 10_000;
/** How long to wait while the control plane still believes in the former session. */
const GHOST_WINDOW_MS = 2_000;

/** Keeps one session to the control plane, for ever, over several addresses. */
export class ControlPlaneConnection {
  private readonly options: ConnectionOptions;
  private readonly certificate: CertificateKeeper;
  private readonly stopping = new AbortController();
  private current: ConnectionState = 'stopped';
  private session: Session | null = null;
  private channel: Channel | null = null;
  private addressIndex = 0;
  private failures = 0;
  private running: Promise<void> | null = null;
  private heardAt: number | null = null;

  constructor(options: ConnectionOptions) {
    this.options = options;
    const { identity, nowMs, saveCertificate: save, log } = options;
    this.certificate = new CertificateKeeper({ identity, nowMs, save, log });
  }

  get state(): ConnectionState {
    return this.current;
  }

  /** The address in use, or the one that is tried next. */
  get address(): string {
    return this.options.addresses[this.addressIndex % this.options.addresses.length]!;
  }

  get certificateEndsMs(): number {
    return this.certificate.endsMs;
  }

  /** Milliseconds since the control plane was last heard; infinite before the first word. */
  get silentForMs(): number {
    if (this.session?.isOpen === true) return this.session.silentForMs;
    return this.heardAt === null ? Infinity : performance.now() - this.heardAt;
  }

  start(): void {
    if (this.running !== null) throw new Error('already started');
    this.running = this.run();
  }

  /** Ends the session and makes a new one at once. */
  reconnect(why: string): void {
    this.options.log.info({ why }, 'reconnecting');
    this.session?.close();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.session?.close();
    this.channel?.close();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const delayMs = this.delayAfter(await this.attempt());
      if (delayMs > 0) await this.wait(delayMs);
    }
    this.setState('stopped');
  }

  private async attempt(): Promise<SessionEnd> {
    const { identity, nowMs } = this.options;
    this.setState('connecting');
    const target: ChannelOptions = {
      address: this.address,
      authority: identity.authorityPem,
      identity: { certificate: this.certificate.certificatePem, key: identity.tlsKeyPem },
      nowMs,
    };
    const channel = openChannel(target);
    this.channel = channel;
    try {
      // While it lasts the session comes first, and the certificate is renewed beside it.
      if (this.certificate.hasEnded) {
        await this.certificate.renew(channel.client);
        return { why: 'closed' };
      }
      return await this.holdSession(channel, target);
    } catch (error) {
      return { why: 'lost', error: error as Error, code: (error as { code?: codes }).code ?? null };
    } finally {
      this.certificate.stopTimer();
      this.session = this.channel = null;
      channel.close();
    }
  }

  private async holdSession(channel: Channel, target: ChannelOptions): Promise<SessionEnd> {
    const { greeting, isBusy, onMessage, onWritable, timings = TIMINGS } = this.options;
    const startedAt = performance.now();
    const session = new Session({
      client: channel.client,
      greeting: greeting(),
      timings: { attemptMs: attemptMs(this.failures), ...timings },
      onMessage: (message, from) => {
        if (message.type === 'welcome') {
          this.setState('connected');
          this.certificate.startTimer(channel.client, () => this.reconnect('new certificate'));
        }
        onMessage(message, from);
      },
      onWritable,
    });
    this.session = session;
    const watch = new PathWatch({
      isBusy: () => session.isOpen && isBusy(),
      ping: () => channel.ping(),
      probe: () => canConnect(target, PROBE_MS),
      onDead: () => session.giveUp(),
      ...(this.options.pathTimings && { timings: this.options.pathTimings }),
    });
    const end = await session.ended;
    watch.stop();
    if (session.wasWelcomed) {
      this.heardAt = performance.now() - session.silentForMs;
      if (performance.now() - startedAt > STEADY_MS) this.failures = 0;
    }
    return end;
  }

  /** Milliseconds until the next attempt, after noting how the last one went. */
  private delayAfter(end: SessionEnd): number {
    if (this.stopping.signal.aborted || end.why === 'closed') return 0;
    const { log } = this.options;
    const { address } = this;
    this.addressIndex++;
    if (end.why === 'drained') {
      log.info({ address, reconnectAfterMs: end.reconnectAfterMs }, 'asked to come back later');
      return end.reconnectAfterMs * (1 + Math.random() / 4);
    }
    if (end.why === 'silent') {
      log.warn({ address, silenceMs: this.options.timings?.silenceMs }, 'the session went silent');
      return 0;
    }
    this.failures++;
    const { error, code } = end;
    if (code === codes.UNAUTHENTICATED) this.certificate.reject();
    const level = code === codes.PERMISSION_DENIED ? 'error' : 'warn';
    log[level]({ address, err: error, code, failures: this.failures }, 'no session');
    if (code === codes.ALREADY_EXISTS) return Math.random() * GHOST_WINDOW_MS;
    return backoffMs(this.failures, Math.random());
  }

  private async wait(delayMs: number): Promise<void> {
    this.setState('waiting');
    const { signal } = this.stopping;
    // Rejects when aborted, which is what ends the loop.
    await sleep(delayMs, undefined, { signal }).catch(() => {});
  }

  private setState(state: ConnectionState): void {
    if (state === this.current) return;
    this.options.log.info({ from: this.current, to: state, address: this.address }, 'connection');
    this.current = state;
    this.options.onState(state);
  }
}
