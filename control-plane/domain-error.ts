export type DomainErrorKind =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'too_many'
  | 'unavailable';

/**
 * Thrown by a domain when it cannot do what was asked. Told to the person in three parts: what happened,
 * what is safe, what to do next. The edges map `kind` to HTTP and gRPC codes, once.
 */
export class DomainError extends Error {
  override name = 'DomainError';
  readonly kind: DomainErrorKind;
  readonly code: string;
  readonly safe: string;
  readonly next: { label: string; command: string }[];
  /** When asking again may help. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    kind: DomainErrorKind,
    code: string,
    happened: string,
    more: {
      safe?: string;
      next?: { label: string; command: string }[];
      retryAfterSeconds?: number;
      cause?: unknown;
    } = {},
  ) {
    super(happened, { cause: more.cause });
    this.kind = kind;
    this.code = code;
    this.safe = more.safe ?? 'Nothing was changed.';
    this.next = more.next ?? [];
    this.retryAfterSeconds = more.retryAfterSeconds;
  }
}
