import type { IncomingMessage, Server } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { FRAME_MAX_BYTES } from '../../proto/terminal/frame.ts';
import type { HttpApp } from './environment.ts';

/** How long an answer other than 101 may take to be read. */
const LINGER_MS = 1_000;

/**
 * Lets routes take WebSockets: an upgrade goes through the app like any request, with its authentication,
 * its access table and its log, and becomes a WebSocket only where the route has said so
 * (`c.env.acceptWebSocket`). No page of another origin may open one.
 */
export function takeWebSockets(server: Server, app: Pick<HttpApp, 'fetch'>): void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: FRAME_MAX_BYTES,
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    answer(incoming, socket, head).catch(() => socket.destroy());
  });

  async function answer(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (incoming.headers.upgrade?.toLowerCase() !== 'websocket' || !isOwnOrigin(incoming)) {
      return refuse(socket, new Response(null, { status: 403 }));
    }
    let take: ((webSocket: WebSocket) => void) | undefined;
    const response = await app.fetch(requestOf(incoming), {
      incoming,
      acceptWebSocket: (taker: (webSocket: WebSocket) => void) => {
        take = taker;
      },
    });
    if (take === undefined) return refuse(socket, response);
    const taken = take;
    sockets.handleUpgrade(incoming, socket, head, (webSocket) => taken(webSocket));
  }
}

/** Programs send no origin; browsers always do. */
function isOwnOrigin({ headers }: IncomingMessage): boolean {
  if (headers.origin === undefined) return true;
  return URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host;
}

function requestOf(incoming: IncomingMessage): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (typeof value === 'string') headers.set(name, value);
  }
  // The route is found by the path alone.
  return new Request(new URL(incoming.url ?? '/', 'http://localhost'), { headers });
}

async function refuse(socket: Duplex, response: Response): Promise<void> {
  const body = Buffer.from(await response.arrayBuffer());
  // An answer without an error cannot be what an upgrade asked for.
  const status = response.status < 400 ? 400 : response.status;
  const type = response.headers.get('content-type');
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    `Content-Length: ${body.length}`,
    ...(type === null ? [] : [`Content-Type: ${type}`]),
  ];
  socket.end(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]));
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
