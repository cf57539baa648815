import type { Logger } from 'pino';
import type { ConnectResponse } from '../../proto/wire.ts';
import { wireLimits } from '../../proto/wire.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { storeHello, storeSeen, storeSessionEnd } from './agent-store.ts';
import type { HelloRecord } from './agent-store.ts';

/** One authenticated TLS connection of an agent; it may carry a session, uploads, both or nothing. */
export interface AgentConnection {
  readonly agentId: string;
  /** When it is to be closed, in ms since 1970. */
  readonly closesAt: number;
  /** The agent's certificate was renewed. */
  prolong(until: Date): void;
  /** Whether the other end answers a ping within `timeoutMs`. */
  answers(timeoutMs: number): Promise<boolean>;
  close(): void;
}

/** The one stream on which an agent is given work. */
export interface AgentSession {
  readonly agentId: string;
  readonly connection: AgentConnection;
  /** Nothing passes any more; what was said is perhaps still being stored. */
  readonly isOver: boolean;
  /** Never blocks; a session whose other end does not read is ended instead. */
  send(message: ConnectResponse): void;
  /** Ends the stream with this error. */
  end(error: DomainError): void;
}

export interface OpenSession {
  /** Whether jobs of this agent had not ended when the session began. */
  hasOpenJobs: boolean;
  /** Notes the end; harmless to call twice. */
  close(): Promise<void>;
}

const TICK_MS = 1_000;
const SEEN_EVERY_MS = 15_000;
/** How long the holder of a session has to answer when a second one knocks. */
const PROBE_MS = 2_000;
export const CONNECTIONS_PER_AGENT = 8;

interface Live {
  session: AgentSession;
  lastSentAt: number;
  ended: Promise<void>;
  markEnded: () => void;
}

/** Who is connected to this process. */
export class AgentSessions {
  private readonly connections = new Map<string, Set<AgentConnection>>();
  private readonly sessions = new Map<string, Live>();
  private readonly opening = new Set<string>();
  private readonly database: Database;
  private readonly log: Logger;
  private timer: NodeJS.Timeout | undefined;
  private lastSeenStoredAt = performance.now();

  constructor(options: { database: Database; log: Logger }) {
    this.database = options.database;
    this.log = options.log;
  }

  start(): void {
    this.timer ??= setInterval(() => this.tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  get count(): number {
    return this.sessions.size;
  }

  find(agentId: string): AgentSession | undefined {
    return this.sessions.get(agentId)?.session;
  }

  all(): AgentSession[] {
    return [...this.sessions.values()].map((live) => live.session);
  }

  /**
   * Counts a connection in until the returned function is called. It is closed when its certificate ends
   * without having been renewed. Throws DomainError `connections_too_many`.
   */
  addConnection(connection: AgentConnection): () => void {
    const { agentId } = connection;
    const own = this.connections.get(agentId) ?? new Set();
    if (own.size >= CONNECTIONS_PER_AGENT) {
      throw new DomainError(
        'too_many',
        'connections_too_many',
        'This agent is connected too often.',
      );
    }
    own.add(connection);
    this.connections.set(agentId, own);
    return () => {
      own.delete(connection);
      if (own.size === 0 && this.connections.get(agentId) === own) this.connections.delete(agentId);
    };
  }

  /**
   * Makes `session` the agent's session. While another one lives it is refused (DomainError
   * `already_connected`); one whose other end no longer answers makes room.
   */
  async open(session: AgentSession, hello: HelloRecord): Promise<OpenSession> {
    const { agentId } = session;
    if (this.opening.has(agentId)) throw alreadyConnected();
    this.opening.add(agentId);
    try {
      await this.makeRoom(agentId);
      const { connectedAt, hasOpenJobs } = await storeHello(this.database, agentId, hello);
      const { promise: ended, resolve: markEnded } = Promise.withResolvers<void>();
      const live: Live = { session, lastSentAt: performance.now(), ended, markEnded };
      this.sessions.set(agentId, live);
      return { hasOpenJobs, close: () => this.closeSession(live, connectedAt) };
    } finally {
      this.opening.delete(agentId);
    }
  }

  /** To be called for each message sent on a session: heartbeats fill the pauses only. */
  noteSent(agentId: string): void {
    const live = this.sessions.get(agentId);
    if (live !== undefined) live.lastSentAt = performance.now();
  }

  /** The agent's certificate was renewed: its connections may stay until the new one ends. */
  prolong(agentId: string, until: Date): void {
    for (const connection of this.connections.get(agentId) ?? []) connection.prolong(until);
  }

  /** Sends the agent away for good, with a reason it can read, and closes all its connections. */
  closeAgent(agentId: string, code: string): void {
    const live = this.sessions.get(agentId);
    live?.session.end(new DomainError('forbidden', code, 'This agent is no longer accepted.'));
    for (const connection of this.connections.get(agentId) ?? []) {
      // The reason goes first.
      setTimeout(() => connection.close(), live ? 200 : 0).unref();
    }
  }

  private async makeRoom(agentId: string): Promise<void> {
    const current = this.sessions.get(agentId);
    if (current === undefined) return;
    const { session } = current;
    const answers = Promise.race([
      session.connection.answers(PROBE_MS),
      current.ended.then(() => false),
    ]);
    if (!session.isOver && (await answers) && !session.isOver) throw alreadyConnected();
    if (this.sessions.get(agentId) === current) {
      session.end(
        new DomainError('unavailable', 'session_silent', 'The session did not answer any more.'),
      );
      session.connection.close();
      await current.ended;
    }
  }

  private async closeSession(live: Live, connectedAt: Date): Promise<void> {
    const { agentId } = live.session;
    if (this.sessions.get(agentId) !== live) return;
    this.sessions.delete(agentId);
    live.markEnded();
    await storeSessionEnd(this.database, agentId, connectedAt);
  }

  private tick(): void {
    const now = Date.now();
    for (const own of this.connections.values()) {
      for (const connection of own) if (connection.closesAt <= now) connection.close();
    }
    const monotonic = performance.now();
    for (const live of this.sessions.values()) {
      if (monotonic - live.lastSentAt >= wireLimits.heartbeatMs) {
        live.session.send({ heartbeat: {} });
      }
    }
    if (monotonic - this.lastSeenStoredAt >= SEEN_EVERY_MS) {
      this.lastSeenStoredAt = monotonic;
      this.storeSeen().catch((error: unknown) =>
        this.log.warn({ err: error }, 'could not note which agents are connected'),
      );
    }
  }

  private async storeSeen(): Promise<void> {
    const ids = [...this.sessions.keys()];
    if (ids.length > 0) await storeSeen(this.database, ids);
  }
}

function alreadyConnected(): DomainError {
  return new DomainError(
    'conflict',
    'already_connected',
    'This agent already has a session; a second one is refused while the first lives.',
  );
}
