import * as grpc from '@grpc/grpc-js';
import type { AddressInfo, Socket } from 'node:net';
import tls from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { agentService, wireLimits } from '../../proto/wire.ts';
import type { AgentServiceHandlers } from '../../proto/wire.ts';
import type { AgentSessions } from '../agents/agent-sessions.ts';
import { findAgentIdentity, markCertificateUsed } from '../agents/agent-store.ts';
import type { AgentIdentity } from '../agents/agent-store.ts';
import type { AgentCertificate, CertificateAuthority } from '../agents/certificate-authority.ts';
import { LATE_RENEWAL_MS } from '../agents/renew-certificate.ts';
import type { Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { CallGuard } from './call-guard.ts';
import { AddressCounts, defaultConnectionLimits } from './connection-limits.ts';
import type { ConnectionLimits } from './connection-limits.ts';
import { Peers, SHORT_STAY_MS } from './peers.ts';
import type { AuthenticatedAgent } from './peers.ts';
import { configureHttp2 } from './http2-settings.ts';

/**
 * Holds one stream to about 25 MB/s at a round trip of 80 ms; grpc-js alone to 0.4. The window times the agents
 * is the worst case of memory held for them.
 */
const RECEIVE_WINDOW_BYTES = 4 * 1024 * 1024;
/** The kernel holds a storm of reconnecting agents here; Node's default of 511 overflows. */
const BACKLOG = 4096;
/** Clocks of replicas differ a little. */
const CLOCK_SKEW_MS = 60_000;
const SERVER_CERTIFICATE_EVERY_MS = 24 * 3600_000;

export interface AgentListenerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  authority: CertificateAuthority;
  sessions: AgentSessions;
  queries: Queries;
  /** Made with the table of peers, so that handlers know whose call they answer. */
  handlers: (peers: Peers) => AgentServiceHandlers;
  log: Logger;
  limits?: Partial<ConnectionLimits>;
}

export interface AgentListener {
  start(): Promise<{ host: string; port: number }>;
  /** Takes no new connections; those that are there go on. */
  refuse(): void;
  /** Waits until no call is open, `graceMs` at most, then closes everything. */
  stop(graceMs: number): Promise<void>;
  readonly connections: number;
}

/**
 * The address agents dial: TLS 1.3 with a certificate of ours, then HTTP/2, then gRPC. The TLS server is our
 * own, for its backlog, limits and checks; finished connections are handed to grpc-js. Nothing a peer sends
 * ends the process: every socket and stream has someone listening to its errors.
 */
export function createAgentListener(options: AgentListenerOptions): AgentListener {
  const { authority, sessions, queries, log } = options;
  const limits = { ...defaultConnectionLimits, ...options.limits };
  const handshakes = new AddressCounts(limits.handshakesPerAddress);
  const anonymous = new AddressCounts(limits.anonymousPerAddress);
  const perAddress = new AddressCounts(limits.perAddress);
  const sockets = new Set<Socket>();
  const shaking = new Map<string, () => void>();
  const peers = new Peers();
  const guard = new CallGuard({ peers, log });
  const server = createGrpcServer(peers, guard, log);
  server.addService(agentService, options.handlers(peers));
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  let listener: tls.Server | undefined;
  let renewal: NodeJS.Timeout | undefined;

  function limitConnection(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const leave = perAddress.enter(address);
    const leaveShaking = handshakes.enter(address);
    socket.on('error', () => {});
    if (leave === null || leaveShaking === null) {
      leave?.();
      leaveShaking?.();
      socket.destroy();
      return;
    }
    const ends = endsOf(socket);
    sockets.add(socket);
    shaking.set(ends, leaveShaking);
    socket.once('close', () => {
      sockets.delete(socket);
      shaking.delete(ends);
      leaveShaking();
      leave();
    });
  }

  async function admit(socket: TLSSocket): Promise<void> {
    socket.on('error', () => {});
    if (socket.alpnProtocol !== 'h2') throw refused('no_http2');
    const presented = socket.getPeerX509Certificate();
    const agent = presented === undefined ? null : await authenticate(presented.raw);
    if (socket.destroyed) return;
    if (agent === null) {
      const leave = anonymous.enter(socket.remoteAddress ?? '');
      if (leave === null) throw refused('too_many_without_certificate');
      socket.once('close', leave);
    }
    const connection = peers.add(socket, agent);
    if (agent === null || agent.denied !== null) {
      const timer = setTimeout(() => connection.close(), SHORT_STAY_MS);
      socket.once('close', () => clearTimeout(timer));
    } else {
      socket.once('close', sessions.addConnection(connection));
    }
    injector.injectConnection(socket);
  }

  async function authenticate(der: Buffer): Promise<AuthenticatedAgent> {
    // The TLS layer only proved that the peer holds the key: with several faults it names the last one.
    const certificate = authority.readAgentCertificate(der);
    if (certificate === null) throw refused('certificate_foreign');
    const fault = timeFault(certificate);
    if (fault !== null) throw refused(fault);
    const identity = await findAgentIdentity(queries, certificate.agentId);
    if (identity === null) throw refused('agent_unknown');
    if (certificate.serial === identity.serial && !identity.certificateUsed) {
      await markCertificateUsed(queries, identity.agentId, certificate.serial);
    }
    return { certificate, identity, denied: denialOf(identity) };
  }

  async function listen(): Promise<AddressInfo> {
    const credentials = await authority.issueServerCertificate();
    const tlsServer = tls.createServer(
      {
        ...credentials,
        ca: authority.certificatePem,
        minVersion: 'TLSv1.3',
        ALPNProtocols: ['h2'],
        requestCert: true,
        // Judged by `admit`: no certificate at all may enrol, an ended one may renew.
        rejectUnauthorized: false,
        handshakeTimeout: wireLimits.handshakeMs,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: wireLimits.keepaliveMs,
      },
      (socket) => {
        admit(socket).catch((error: unknown) => {
          const reason = error instanceof DomainError ? error.code : undefined;
          log[reason === undefined ? 'error' : 'info'](
            { reason, ...(reason === undefined && { err: error }), peer: socket.remoteAddress },
            'agent connection refused',
          );
          socket.destroy();
        });
      },
    );
    tlsServer.maxConnections = limits.total;
    tlsServer.on('connection', limitConnection);
    tlsServer.on('secureConnection', (socket) => shaking.get(endsOf(socket))?.());
    // Without this a handshake that took too long stays open.
    tlsServer.on('tlsClientError', (_error, socket) => socket.destroy());
    tlsServer.on('error', (error) => log.error({ err: error }, 'agent listener failed'));
    listener = tlsServer;
    renewal = setInterval(() => {
      authority.issueServerCertificate().then(
        (renewed) =>
          tlsServer.setSecureContext({
            ...renewed,
            ca: authority.certificatePem,
            minVersion: 'TLSv1.3',
          }),
        (error: unknown) => log.error({ err: error }, 'could not renew the server certificate'),
      );
    }, SERVER_CERTIFICATE_EVERY_MS).unref();
    const { promise, resolve, reject } = Promise.withResolvers<AddressInfo>();
    tlsServer.once('error', reject);
    tlsServer.listen({ host: options.host, port: options.port, backlog: BACKLOG }, () =>
      resolve(tlsServer.address() as AddressInfo),
    );
    return promise;
  }

  return {
    start: async () => {
      const { address, port } = await listen();
      return { host: address, port };
    },
    refuse: () => void listener?.close(),
    stop: async (graceMs) => {
      clearInterval(renewal);
      listener?.close();
      await guard.whenIdle(graceMs);
      server.forceShutdown();
      for (const socket of sockets) socket.destroy();
    },
    get connections() {
      return sockets.size;
    },
  };
}

function createGrpcServer(peers: Peers, guard: CallGuard, log: Logger): grpc.Server {
  const server = new grpc.Server({
    // With the time for the answer this finds a dead peer within 15 s, whenever it died.
    'grpc.keepalive_time_ms': wireLimits.silenceMs - wireLimits.keepaliveTimeoutMs - 500,
    'grpc.keepalive_timeout_ms': wireLimits.keepaliveTimeoutMs,
    'grpc.max_receive_message_length': wireLimits.messageBytes,
    'grpc.max_send_message_length': wireLimits.messageBytes,
    'grpc.max_concurrent_streams': wireLimits.streamsPerConnection,
    'grpc.enable_channelz': 0,
    interceptors: [guard.interceptor],
  });
  configureHttp2(server, {
    windowBytes: RECEIVE_WINDOW_BYTES,
    options: {
      settings: { maxHeaderListSize: wireLimits.headerBytes, enablePush: false },
      maxHeaderListPairs: 64,
      maxSettings: 16,
      maxSessionInvalidFrames: 10,
      maxSessionRejectedStreams: 10,
      streamResetBurst: 100,
      streamResetRate: 10,
    },
    onServer: (http2Server) => {
      peers.tagStreams(http2Server);
      http2Server.on('sessionError', (error) => log.debug({ err: error }, 'http2 session failed'));
    },
    onSession: (session) => {
      const connection = peers.noteSession(session);
      // TLS without an HTTP/2 preface, or a connection on which nothing is ever asked.
      const timer = setTimeout(() => connection?.close(), wireLimits.firstMessageMs);
      session.once('stream', () => clearTimeout(timer));
      session.once('close', () => clearTimeout(timer));
    },
  });
  return server;
}

/** The TLS server shows the socket below a TLS socket to nobody; both have the same ends. */
function endsOf(socket: Socket): string {
  return [socket.localAddress, socket.localPort, socket.remoteAddress, socket.remotePort].join(' ');
}

function timeFault(certificate: AgentCertificate): string | null {
  const now = Date.now();
  if (certificate.notBefore.getTime() > now + CLOCK_SKEW_MS) return 'certificate_not_yet_valid';
  if (certificate.expiresAt.getTime() + LATE_RENEWAL_MS <= now) return 'certificate_too_old';
  return null;
}

function denialOf(identity: AgentIdentity): string | null {
  if (identity.quarantined) return 'agent_quarantined';
  if (identity.replaced) return 'agent_replaced';
  if (identity.revoked) return 'agent_revoked';
  return null;
}

function refused(code: string): DomainError {
  return new DomainError('forbidden', code, `connection refused: ${code}`);
}
