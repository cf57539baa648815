import { randomUUID } from 'node:crypto';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { secureHeaders } from 'hono/secure-headers';
import type { Logger } from 'pino';
import { DomainError } from '../domain-error.ts';
import { requireAccess, routePattern } from './authentication.ts';
import type { Authenticate } from './authentication.ts';
import type { HttpApp, HttpEnvironment } from './environment.ts';
import { answerError, bodyTooLarge } from './errors.ts';

export interface HttpAppOptions {
  authenticate: Authenticate;
  log: Logger;
  /** Aborted when the control plane is about to stop. */
  closing: AbortSignal;
  /** Whether people reach it over TLS; browsers are then told never to try without. */
  isSecure?: boolean;
  /** Told of each answered request; `route` is the pattern, `unmatched` where there is none. */
  onRequest?: (request: { method: string; route: string; status: number; ms: number }) => void;
}

const BODY_BYTES = 256 * 1024;

/** An app without routes: what holds for all of them is in place, in the order it is needed. */
export function createHttpApp(options: HttpAppOptions): HttpApp {
  const { log } = options;
  const app: HttpApp = new OpenAPIHono<HttpEnvironment>({
    defaultHook: (result) => {
      if (result.success) return;
      const issue = result.error.issues[0];
      const where = issue?.path.join('.') || result.target;
      throw new DomainError('invalid', 'invalid_request', `${where}: ${issue?.message}`);
    },
  });
  app.onError((error, c) => answerError(error, c));
  app.notFound((c) => {
    const error = new DomainError(
      'not_found',
      'no_such_route',
      'There is nothing at this address.',
    );
    return answerError(error, c);
  });

  app.use('*', async (c, next) => {
    const started = performance.now();
    const requestId = randomUUID();
    c.set('requestId', requestId);
    c.set('log', log.child({ requestId }));
    c.set('closing', options.closing);
    c.header('X-Request-Id', requestId);
    await next();
    const ms = performance.now() - started;
    const { method } = c.req;
    const route = routePattern(c) ?? 'unmatched';
    const { status } = c.res;
    options.onRequest?.({ method, route, status, ms });
    c.get('log').info(
      {
        method,
        route,
        status,
        ms: Math.round(ms * 10) / 10,
        personId: c.get('caller')?.personId,
      },
      'request',
    );
  });
  app.use('*', securityHeaders(options.isSecure ?? false));
  app.use('/api/*', async (c, next) => {
    c.header('Cache-Control', 'no-store');
    await next();
  });
  app.use('*', requireAccess(options.authenticate));
  app.use(
    '*',
    bodyLimit({
      maxSize: BODY_BYTES,
      onError: () => {
        throw bodyTooLarge;
      },
    }),
  );
  return app;
}

/** Nothing served here is a page yet: no script, frame, form or request of any origin. */
function securityHeaders(isSecure: boolean): MiddlewareHandler {
  return secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
    referrerPolicy: 'no-referrer',
    xFrameOptions: 'DENY',
    xXssProtection: false,
    strictTransportSecurity: isSecure ? 'max-age=31536000' : false,
    crossOriginResourcePolicy: 'same-origin',
    crossOriginOpenerPolicy: 'same-origin',
  });
}
