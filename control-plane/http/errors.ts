import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { DocumentError } from '../../proto/documents/document.ts';
import { DomainError } from '../domain-error.ts';
import type { DomainErrorKind } from '../domain-error.ts';
import type { HttpEnvironment } from './environment.ts';

const STATUS = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  too_many: 429,
  unavailable: 503,
} as const satisfies Record<DomainErrorKind, number>;

/** Seconds after which asking again may help. */
const RETRY_AFTER: Partial<Record<DomainErrorKind, string>> = { too_many: '60', unavailable: '1' };

export const bodyTooLarge = new DomainError(
  'invalid',
  'body_too_large',
  'The request is larger than 256 KiB.',
);

/** Answers with what the person is told; what nobody foresaw is logged and told as `internal`. */
export function answerError(error: unknown, c: Context<HttpEnvironment>): Response {
  const known = asDomainError(error);
  if (known === undefined) {
    const requestId = c.get('requestId');
    c.get('log').error({ err: error }, 'a request failed');
    return c.json(
      errorText('internal', `Something failed that should not (request ${requestId}).`, {
        safe: 'What was stored before is safe.',
      }),
      500,
    );
  }
  const retryAfter = known.retryAfterSeconds ?? RETRY_AFTER[known.kind];
  if (retryAfter !== undefined) c.header('Retry-After', String(retryAfter));
  if (known.kind === 'unauthenticated') c.header('WWW-Authenticate', 'Bearer');
  const status = known === bodyTooLarge ? 413 : STATUS[known.kind];
  return c.json(errorText(known.code, known.message, known), status);
}

function errorText(
  code: string,
  happened: string,
  { safe, next = [] }: { safe: string; next?: DomainError['next'] },
) {
  return { error: { code, happened, safe, next } };
}

function asDomainError(error: unknown): DomainError | undefined {
  if (error instanceof DomainError) return error;
  if (error instanceof DocumentError) {
    return new DomainError('invalid', error.reason, `The document is refused: ${error.message}.`);
  }
  // Hono's own: a body that is not JSON.
  if (error instanceof HTTPException && error.status < 500) {
    return new DomainError('invalid', 'invalid_request', error.message || 'Malformed request.');
  }
  return undefined;
}
