import type { Metadata } from '@grpc/grpc-js';
import type { ServerHttp2Session, Http2Server } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { AgentConnection } from '../agents/agent-sessions.ts';
import type { AgentIdentity } from '../agents/agent-store.ts';
import type { AgentCertificate } from '../agents/certificate-authority.ts';

/** Who is at the other end of a connection, as the TLS handshake proved it. */
export interface Peer {
  readonly id: string;
  /** `address:port`, for logs. */
  readonly address: string;
  /** Null for a peer without a certificate. */
  readonly agent: AuthenticatedAgent | null;
  /** Until when it may be treated as current, in ms since 1970. */
  readonly validUntil: number;
}

export interface AuthenticatedAgent {
  certificate: AgentCertificate;
  identity: AgentIdentity;
  /** Why nothing is allowed any more; null when the agent is welcome. */
  denied: string | null;
}

/**
 * Connects calls with the connections they came on. grpc-js shows a handler no certificate that is not
 * valid now, and no connection; so each stream gets a header with an id, which replaces whatever the peer
 * may have sent under that name.
 */
export class Peers {
  private readonly peers = new Map<string, Connection>();
  private next = 1;

  add(socket: TLSSocket, agent: AuthenticatedAgent | null): Connection {
    const id = String(this.next++);
    const connection = new Connection(id, socket, agent);
    this.peers.set(id, connection);
    (socket as TaggedSocket)[TAG] = connection;
    socket.once('close', () => this.peers.delete(id));
    return connection;
  }

  /** Whose call this is; undefined when its connection is already gone. */
  of(metadata: Metadata): Connection | undefined {
    const [id] = metadata.get(HEADER);
    return typeof id === 'string' ? this.peers.get(id) : undefined;
  }

  tagStreams(server: Http2Server): void {
    server.prependListener('stream', (stream, headers) => {
      const socket = stream.session?.socket as TaggedSocket | undefined;
      headers[HEADER] = socket?.[TAG]?.id ?? '';
    });
  }

  noteSession(session: ServerHttp2Session): Connection | undefined {
    const connection = (session.socket as unknown as TaggedSocket)[TAG];
    connection?.attach(session);
    return connection;
  }

  all(): Connection[] {
    return [...this.peers.values()];
  }
}

const HEADER = 'intervene-connection';
/** Enough to enrol, or to renew what has ended. */
export const SHORT_STAY_MS = 30_000;
const TAG = Symbol('connection');
type TaggedSocket = TLSSocket & { [TAG]?: Connection };

export class Connection implements Peer, AgentConnection {
  readonly id: string;
  readonly address: string;
  readonly agent: AuthenticatedAgent | null;
  validUntil: number;
  closesAt: number;
  private readonly socket: TLSSocket;
  private session: ServerHttp2Session | undefined;

  constructor(id: string, socket: TLSSocket, agent: AuthenticatedAgent | null) {
    this.id = id;
    this.socket = socket;
    this.agent = agent;
    this.address = `${socket.remoteAddress}:${socket.remotePort}`;
    this.validUntil = agent?.certificate.expiresAt.getTime() ?? 0;
    this.closesAt = Math.max(this.validUntil, Date.now() + SHORT_STAY_MS);
  }

  get agentId(): string {
    return this.agent?.identity.agentId ?? '';
  }

  prolong(until: Date): void {
    this.validUntil = until.getTime();
    this.closesAt = until.getTime();
  }

  attach(session: ServerHttp2Session): void {
    this.session = session;
  }

  answers(timeoutMs: number): Promise<boolean> {
    const { session } = this;
    if (session === undefined || session.destroyed || session.closed) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      const answer = (isAlive: boolean) => {
        clearTimeout(timer);
        resolve(isAlive);
      };
      try {
        // False when too many pings are already on their way unanswered.
        if (!session.ping((error) => answer(error === null))) answer(false);
      } catch {
        answer(false);
      }
    });
  }

  close(): void {
    this.session?.destroy();
    this.socket.destroy();
  }
}
