import { createServer } from 'node:http';
import type { Server, ServerOptions } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import type { HttpApp } from './environment.ts';

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
const IDLE_CHECK_MS = 50;

export function createHttpListener(options: HttpListenerOptions): HttpListener {
  const handle = getRequestListener(options.app.fetch);
  const listener = (...[request, response]: Parameters<typeof handle>) =>
    void handle(request, response);
  const server: Server = options.tls
    ? createSecureServer({ ...LIMITS, ...options.tls, minVersion: 'TLSv1.2' }, listener)
    : createServer(LIMITS, listener);
  server.maxConnections = MAX_CONNECTIONS;
  let closed: Promise<void> | undefined;

  const drain = (): void => {
    closed ??= new Promise((resolve) => server.close(() => resolve()));
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
      const ended = new AbortController();
      const { signal } = ended;
      // A kept-open connection becomes idle when its answer is out; nobody else closes it then.
      const sweep = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
      const cut = sleep(graceMs, undefined, { signal }).then(
        () => server.closeAllConnections(),
        () => {},
      );
      await closed;
      ended.abort();
      clearInterval(sweep);
      await cut;
    },
  };
}
