import type { Server, ServerCredentials } from '@grpc/grpc-js';
import type {
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
  ServerOptions,
} from 'node:http2';

/** What is reached into; checked when the server is made, so that an upgrade cannot undo it silently. */
interface ServerInternals {
  commonServerOptions?: ServerOptions;
  createHttp2Server?: (credentials: ServerCredentials) => Http2Server;
}

/** Thrown at start: this grpc-js is not the one the settings below were written for. */
export class GrpcInternalsChangedError extends Error {
  override name = 'GrpcInternalsChangedError';
}

export interface Http2Hooks {
  /** HTTP/2 settings and limits grpc-js has no option for. */
  options: ServerOptions;
  /** Bytes a peer may send ahead, per stream and per connection. */
  windowBytes: number;
  /** Sees each HTTP/2 server before grpc-js listens to it. */
  onServer: (server: Http2Server) => void;
  onSession: (session: ServerHttp2Session) => void;
}

/**
 * Sets what grpc-js 1.14 servers keep from their users. They ignore `grpc-node.flow_control_window`, which
 * holds one stream to about 32 KiB per round trip (grpc/grpc-node pull request 3058). To be called before
 * the server listens or makes an injector.
 */
export function configureHttp2(server: Server, hooks: Http2Hooks): void {
  const internals = server as unknown as ServerInternals;
  const { commonServerOptions, createHttp2Server } = internals;
  if (typeof createHttp2Server !== 'function' || typeof commonServerOptions !== 'object') {
    throw new GrpcInternalsChangedError('grpc-js has no createHttp2Server or commonServerOptions');
  }
  internals.commonServerOptions = {
    ...commonServerOptions,
    ...hooks.options,
    settings: {
      ...commonServerOptions.settings,
      ...hooks.options.settings,
      initialWindowSize: hooks.windowBytes,
    },
  };
  internals.createHttp2Server = (credentials) => {
    const http2Server = createHttp2Server.call(server, credentials);
    surviveStreams(http2Server);
    hooks.onServer(http2Server);
    http2Server.on('session', (session) => {
      session.setLocalWindowSize(hooks.windowBytes);
      hooks.onSession(session);
    });
    return http2Server;
  };
}

type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
) => void;

/**
 * grpc-js answers some requests (no content type, an unknown method) without looking whether the stream was
 * reset meanwhile; the exception would end the process, and any peer can cause it.
 */
function surviveStreams(http2Server: Http2Server): void {
  const listeners = http2Server.listeners('stream') as StreamListener[];
  if (listeners.length !== 1) {
    throw new GrpcInternalsChangedError('grpc-js listens to streams in another way');
  }
  http2Server.removeAllListeners('stream');
  http2Server.on('stream', (stream, headers, flags) => {
    if (stream.destroyed || stream.closed) return;
    try {
      listeners[0]!.call(http2Server, stream, headers, flags);
    } catch {
      stream.destroy();
    }
  });
}
