import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Caller } from '../accounts/caller.ts';

/** What middleware leaves for the routes. */
export interface HttpEnvironment {
  Variables: {
    /** Set by the authentication middleware on every route that is not public. */
    caller: Caller;
  };
}

/** The app that `register…Routes(app, service)` functions of the domain folders add their routes to. */
export type HttpApp = OpenAPIHono<HttpEnvironment>;
