import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { Caller } from '../accounts/caller.ts';
import { DomainError } from '../domain-error.ts';
import { accessTo, operators } from './access.ts';
import type { HttpEnvironment } from './environment.ts';
import { createRateLimit } from '../rate-limit.ts';
import type { RateLimit } from '../rate-limit.ts';

/** Who holds this API token; undefined when it is not valid. */
export type Authenticate = (token: string) => Promise<Caller | undefined>;

/** Failed tokens per address. */
const FAILURES = { burst: 20, perMinute: 20 };
const REMEMBERED_TOKENS = 10_000;

/**
 * Lets a request through to its route, or not: by the table in `access.ts`, which knows the routes by
 * their patterns. Deny is the default.
 */
export function requireAccess(
  authenticate: Authenticate,
  failures: RateLimit = createRateLimit(FAILURES),
): MiddlewareHandler<HttpEnvironment> {
  const good = createRecentTokens();
  return async (c, next) => {
    const path = routePattern(c);
    // No such route; what answers it says 404.
    if (path === undefined) return next();
    const rule = accessTo(c.req.method, path);
    if (rule === 'public' || (rule === 'local' && isLocal(c))) return next();
    const caller = await identify(c);
    const roles: readonly string[] = rule === 'local' ? operators : (rule ?? []);
    if (!roles.includes(caller.role)) {
      throw new DomainError(
        'forbidden',
        'role_not_allowed',
        `This is not for people with the role ${caller.role}.`,
      );
    }
    c.set('caller', caller);
    return next();
  };

  async function identify(c: Context<HttpEnvironment>): Promise<Caller> {
    const token = bearerToken(c.req.header('authorization'));
    if (token === undefined) {
      throw new DomainError('unauthenticated', 'token_missing', 'No token came with the request.', {
        next: [{ label: 'Log in', command: 'intervene login URL' }],
      });
    }
    const address = addressOf(c);
    // Whoever shares an address with somebody who guesses is not locked out with them.
    if (!good.has(token) && !failures.allows(address)) {
      throw tooManyAttempts(failures.waitSeconds(address));
    }
    const caller = await authenticate(token);
    if (caller === undefined) {
      good.delete(token);
      failures.count(address);
      throw new DomainError('unauthenticated', 'token_invalid', 'The token is not valid.', {
        next: [{ label: 'Log in', command: 'intervene login URL' }],
      });
    }
    good.add(token);
    return caller;
  }
}

export function tooManyAttempts(seconds: number): DomainError {
  return new DomainError(
    'too_many',
    'too_many_attempts',
    `Too many failed attempts came from this address; the next one is possible in ${seconds} s.`,
    { retryAfterSeconds: seconds },
  );
}

/** The pattern of the route that will answer, as it was registered; undefined when none will. */
export function routePattern(c: Context<HttpEnvironment>): string | undefined {
  // Middleware is registered for all methods, routes for one.
  return matchedRoutes(c).findLast((route) => route.method !== 'ALL')?.path;
}

/**
 * Where a request comes from. A proxy on this machine is believed about that: the last address it names is
 * the one it saw itself.
 */
export function addressOf(c: Context<HttpEnvironment>): string {
  const peer = peerOf(c);
  const seen = c.req.header('x-forwarded-for')?.split(',').at(-1)?.trim();
  return isLoopback(peer) && seen !== undefined && isIP(seen) !== 0 ? seen : peer;
}

function peerOf(c: Context<HttpEnvironment>): string {
  return c.env?.incoming?.socket.remoteAddress ?? 'unknown';
}

function isLoopback(address: string): boolean {
  return /^(?:::ffff:)?127\.|^::1$/.test(address);
}

/** On this machine, and not through a proxy on it. */
function isLocal(c: Context<HttpEnvironment>): boolean {
  const isForwarded = ['forwarded', 'x-forwarded-for', 'via'].some((name) => c.req.header(name));
  return !isForwarded && isLoopback(peerOf(c));
}

function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer ([A-Za-z0-9_-]{1,200})$/i.exec(header ?? '')?.[1];
}

/** Hashes of tokens that were valid a while ago, the latest ones. Validity is asked anew each time. */
function createRecentTokens() {
  const hashes = new Set<string>();
  const hashOf = (token: string) => createHash('sha256').update(token).digest('base64');
  return {
    has: (token: string) => hashes.has(hashOf(token)),
    delete: (token: string) => void hashes.delete(hashOf(token)),
    add: (token: string) => {
      const hash = hashOf(token);
      hashes.delete(hash);
      hashes.add(hash);
      if (hashes.size > REMEMBERED_TOKENS) hashes.delete(hashes.values().next().value!);
    },
  };
}
