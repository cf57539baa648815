/** One line that says what went wrong and, behind it, what was the cause. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { details } = error as { details?: unknown };
  const own = typeof details === 'string' && details !== '' ? details : error.message;
  const { cause } = error;
  return cause instanceof Error && !own.includes(cause.message) ? `${own}: ${cause.message}` : own;
}
