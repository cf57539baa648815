import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import net from 'node:net';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { X509Certificate } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { AgentServiceClient, CONTROL_PLANE_NAME, wireLimits } from '../../proto/wire.ts';
import { judgeServerCertificate, UntrustedServerError } from './server-certificate.ts';

export type ControlPlaneClient = InstanceType<typeof AgentServiceClient>;

export interface Channel {
  client: ControlPlaneClient;
  /** Resolves when the other end's HTTP/2 has answered; rejects when there is no connection. */
  ping(): Promise<void>;
  /** Closes the connection at once, also one whose other end no longer answers. */
  close(): void;
}

export interface ChannelOptions {
  /** `host:port`. */
  address: string;
  /** The only authority that is trusted, PEM. */
  authority: string;
  /** Certificate and key of this agent, PEM; null while it enrols. */
  identity: { certificate: string; key: string } | null;
  /** Milliseconds since 1970, of the trusted clock. */
  nowMs: () => number;
}

/** A connection of its own to one address: TLS 1.3, both sides known, every limit set by hand. */
export function openChannel(options: ChannelOptions): Channel {
  const credentials = new PinnedCredentials(options);
  const client = new AgentServiceClient(options.address, credentials, {
    'grpc.keepalive_time_ms': wireLimits.keepaliveMs,
    'grpc.keepalive_timeout_ms': wireLimits.keepaliveTimeoutMs,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc.max_receive_message_length': wireLimits.messageBytes,
    'grpc.max_send_message_length': wireLimits.messageBytes,
    'grpc.max_metadata_size': wireLimits.headerBytes,
    'grpc.default_authority': CONTROL_PLANE_NAME,
    // One channel per attempt: a former one's back-off must not delay the next.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
  });
  const http2 = watchHttp2(credentials.sockets);
  return {
    client,
    ping: () => http2.ping(),
    close: () => {
      http2.stop();
      client.close();
      for (const socket of credentials.sockets) socket.destroy();
    },
  };
}

/** Where Node tells of HTTP/2 sessions (diagnostics_channel); grpc-js keeps its own to itself. */
const STREAM_CREATED = 'http2.client.stream.created';

/** Finds the HTTP/2 session that was made on one of the sockets. */
function watchHttp2(sockets: ReadonlySet<Socket>) {
  let session: ClientHttp2Session | null = null;
  const onStream = (message: unknown) => {
    const made = (message as { stream: ClientHttp2Stream }).stream.session;
    const port = made?.socket?.localPort;
    if (![...sockets].some((socket) => socket.localPort === port)) return;
    session = made as ClientHttp2Session;
    stop();
  };
  const stop = () => unsubscribe(STREAM_CREATED, onStream);
  subscribe(STREAM_CREATED, onStream);
  return {
    stop,
    ping: () =>
      new Promise<void>((resolve, reject) => {
        if (session === null || session.destroyed) reject(new Error('no connection'));
        else session.ping((error) => (error === null ? resolve() : reject(error)));
      }),
  };
}

/**
 * Whether a new connection to the control plane can be made right now, up to the end of the handshake.
 *
 * @param timeoutMs how long to try
 */
export async function canConnect(options: ChannelOptions, timeoutMs: number): Promise<boolean> {
  const authority = new X509Certificate(options.authority);
  const { hostname, port } = new URL(`tcp://${options.address}`);
  const socket = net.connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) });
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  socket.on('error', () => {});
  try {
    const secured = await secureSocket(socket, options, (leaf) =>
      judgeServerCertificate(leaf, authority, options.nowMs()),
    );
    secured.destroy();
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/**
 * Credentials that judge the server by `judgeServerCertificate` alone. grpc-js has no public way to pass
 * over OpenSSL's judgement of validity times; `ChannelCredentials` is the seam it offers for credentials
 * of one's own (1.14).
 */
class PinnedCredentials extends grpc.ChannelCredentials {
  readonly sockets = new Set<Socket>();
  private readonly options: ChannelOptions;
  private readonly authority: X509Certificate;

  constructor(options: ChannelOptions) {
    super();
    this.options = options;
    this.authority = new X509Certificate(options.authority);
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: grpc.ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(): ReturnType<grpc.ChannelCredentials['_createSecureConnector']> {
    return {
      connect: async (socket) => {
        this.sockets.add(socket);
        socket.once('close', () => this.sockets.delete(socket));
        const secured = await secureSocket(socket, this.options, (leaf) =>
          judgeServerCertificate(leaf, this.authority, this.options.nowMs()),
        );
        return { socket: secured, secure: true };
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => grpc.CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }
}

/**
 * Makes TLS 1.3 of a connected socket. Nothing but the handshake is sent before `judge` has accepted the
 * certificate of the server.
 */
export function secureSocket(
  socket: Socket,
  options: Pick<ChannelOptions, 'identity'>,
  judge: (leaf: X509Certificate | undefined) => void,
): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = tls.connect({
      socket,
      minVersion: 'TLSv1.3',
      servername: CONTROL_PLANE_NAME,
      ALPNProtocols: ['h2'],
      // `judge` decides, with the trusted clock: see judgeServerCertificate.
      rejectUnauthorized: false,
      ...(options.identity && { cert: options.identity.certificate, key: options.identity.key }),
    });
    const fail = (error: Error) => {
      secured.destroy();
      reject(error);
    };
    secured.once('error', fail);
    secured.once('close', () => fail(new Error('the connection was closed while it was secured')));
    secured.once('secureConnect', () => {
      try {
        if (secured.alpnProtocol !== 'h2') throw new UntrustedServerError('no HTTP/2 here');
        judge(secured.getPeerX509Certificate());
        resolve(secured);
      } catch (error) {
        fail(error as Error);
      }
    });
  });
}
