import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { HttpApp } from './environment.ts';
import { takeWebSockets } from './web-socket.ts';

export interface HttpListenerOptions {
  app: HttpApp;
  host: string;
  port: number;
  /** PEM texts. Without them the listener speaks plain HTTP, which is for this machine only. */
  tls?: { cert: string; key: string };
}

export interface HttpListener {
  /** Settles when it listens, with the port it got. */
  start(): Promise<{ port: number }>;
  /** Takes no new connections; requests that are being answered go on. */
  drain(): void;
  /** Waits until the last answer is out, for `graceMs` at most, then cuts what is left. */
  stop(graceMs: number): Promise<void>;
}

const LIMITS: ServerOptions = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  // Longer than proxies keep connections to us open, so that they never use one we just closed.
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 5_000,
};
const MAX_CONNECTIONS = 10_000;
const HANDSHAKE_MS = 10_000;

export function createHttpListener(options: HttpListenerOptions): HttpListener {
  const handle = getRequestListener(options.app.fetch);
  const sockets = new Set<Socket>();
  const answering = new Map<Socket, number>();
  let closed: Promise<void> | undefined;

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request;
    answering.set(socket, (answering.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const left = (answering.get(socket) ?? 1) - 1;
      if (answering.has(socket)) answering.set(socket, left);
      if (closed !== undefined && left === 0) socket.destroySoon();
    });
    void handle(request, response);
  };
  const server: Server = options.tls
    ? createSecureServer(
        { ...LIMITS, ...options.tls, minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_MS },
        listener,
      )
    : createServer(LIMITS, listener);
  takeWebSockets(server, options.app);
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  // The socket that requests come on: above TLS where there is TLS.
  server.on(options.tls ? 'secureConnection' : 'connection', (socket: Socket) => {
    answering.set(socket, 0);
    socket.once('close', () => answering.delete(socket));
  });

  const drain = (): void => {
    closed ??= new Promise((resolve) => server.close(() => resolve()));
    for (const [socket, requests] of answering) if (requests === 0) socket.destroySoon();
  };

  return {
    start: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host: options.host, port: options.port }, () => {
          server.off('error', reject);
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    drain,
    stop: async (graceMs) => {
      drain();
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}
