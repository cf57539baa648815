import type { IncomingMessage } from 'node:http';
import { CliError } from '../cli-error.ts';
import type { NextStep } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';

/** Thrown for an answer that is no success. `status` is HTTP's. */
export class ResponseError extends CliError {
  override name = 'ResponseError';
  readonly status: number;

  constructor(status: number, parts: ConstructorParameters<typeof CliError>[0]) {
    super(parts);
    this.status = status;
  }

  /** Whether the same request may be answered later: the control plane is starting, stopping or busy. */
  get isPassing(): boolean {
    return this.status === 429 || this.status >= 500;
  }
}

/** Turns an error answer of the control plane, or of something before it, into ours. */
export function responseError(response: IncomingMessage, body: string): ResponseError {
  const status = response.statusCode ?? 0;
  const told = readErrorBody(body);
  return new ResponseError(status, {
    code: told?.code ?? `http_${status}`,
    happened: told?.happened ?? `The control plane answered with HTTP status ${status}.`,
    ...(told && { safe: told.safe }),
    next: told && told.next.length > 0 ? told.next : nextFor(status),
    exitStatus: exitStatusFor(status),
  });
}

function exitStatusFor(status: number): number {
  if (status === 401 || status === 403) return exitStatus.refused;
  if (status === 400 || status === 404 || status === 413 || status === 422) return exitStatus.usage;
  if (status === 502 || status === 503 || status === 504) return exitStatus.unreachable;
  return exitStatus.failed;
}

function nextFor(status: number): NextStep[] {
  if (status === 401) return [{ label: 'log in again', command: 'intervene login URL' }];
  if (status === 403) return [{ label: 'see who you are here', command: 'intervene whoami' }];
  return [];
}

function readErrorBody(
  body: string,
): { code: string; happened: string; safe: string; next: NextStep[] } | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return null;
  }
  const error = (parsed as { error?: Record<string, unknown> } | null)?.error;
  if (typeof error?.['code'] !== 'string' || typeof error['happened'] !== 'string') return null;
  const next = Array.isArray(error['next']) ? error['next'] : [];
  return {
    code: error['code'],
    happened: error['happened'],
    safe: typeof error['safe'] === 'string' ? error['safe'] : 'Nothing was changed.',
    next: next.filter(isNextStep),
  };
}

function isNextStep(value: unknown): value is NextStep {
  const step = value as Partial<NextStep> | null;
  return typeof step?.label === 'string' && typeof step.command === 'string';
}
