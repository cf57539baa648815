import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import type { Caller } from '../accounts/caller.ts';

/** What middleware leaves for the routes. */
export interface HttpEnvironment {
  /** Absent where a test calls the app without a connection. */
  Bindings: Partial<HttpBindings> & {
    /** There for a request that asks for a WebSocket: makes it one, once the route has answered. */
    acceptWebSocket?: (take: (socket: WebSocket) => void) => void;
  };
  Variables: {
    /** Set by the authentication middleware on every route that is not public. */
    caller: Caller;
    /** Names this request in the log and in the answer's `x-request-id`. */
    requestId: string;
    /** Narrowed to this request. */
    log: Logger;
    /** Aborted when the control plane is about to stop: waits and streams end early. */
    closing: AbortSignal;
  };
}

/** The app that `register…Routes(app, service)` functions of the domain folders add their routes to. */
export type HttpApp = OpenAPIHono<HttpEnvironment>;
