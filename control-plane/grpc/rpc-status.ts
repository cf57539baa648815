import { status } from '@grpc/grpc-js';
import type { StatusObject } from '@grpc/grpc-js';
import { DocumentError } from '../../proto/documents/document.ts';
import { DomainError } from '../domain-error.ts';
import type { DomainErrorKind } from '../domain-error.ts';

const codes: Readonly<Record<DomainErrorKind, status>> = {
  invalid: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  not_found: status.NOT_FOUND,
  conflict: status.FAILED_PRECONDITION,
  too_many: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
};

/** Codes of ours for which gRPC has a better word than their kind's. */
const special: Readonly<Record<string, status>> = {
  already_connected: status.ALREADY_EXISTS,
  first_message_late: status.DEADLINE_EXCEEDED,
  log_gap: status.OUT_OF_RANGE,
};

/**
 * The only place where errors become gRPC statuses. Details are `code: what happened`; what nobody foresaw
 * is told as INTERNAL and nothing more.
 */
export function statusOf(error: unknown): Pick<StatusObject, 'code' | 'details'> {
  if (error instanceof DomainError) {
    const code = special[error.code] ?? codes[error.kind];
    return { code, details: printable(`${error.code}: ${error.message}`) };
  }
  if (error instanceof DocumentError) {
    return {
      code: status.INVALID_ARGUMENT,
      details: printable(`${error.reason}: ${error.message}`),
    };
  }
  return { code: status.INTERNAL, details: 'internal: something failed that should not' };
}

/** Whether nobody foresaw this error, so that somebody must look. */
export function isUnforeseen(error: unknown): boolean {
  return !(error instanceof DomainError || error instanceof DocumentError);
}

/** grpc-js encodes details with encodeURI, which throws for lone surrogates. */
function printable(text: string): string {
  return text.slice(0, 500).toWellFormed();
}
