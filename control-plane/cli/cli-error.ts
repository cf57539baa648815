import { exitStatus } from './exit-status.ts';

export interface NextStep {
  label: string;
  command: string;
  /** Somebody else runs it, not the person of this profile. */
  byOther?: true;
}

/** Texts of an error as people read it: `message` is what happened. */
export interface CliErrorParts {
  /** Stable, snake_case: what programs compare. */
  code: string;
  happened: string;
  /** What is safe; says that nothing was changed when left out. */
  safe?: string;
  next?: NextStep[];
  exitStatus?: number;
  cause?: unknown;
}

/** Thrown by a command that cannot do what was asked; printed in three parts, then the command exits. */
export class CliError extends Error {
  override name = 'CliError';
  readonly code: string;
  readonly safe: string;
  readonly next: NextStep[];
  readonly exitStatus: number;

  constructor(parts: CliErrorParts) {
    super(parts.happened, { cause: parts.cause });
    this.code = parts.code;
    this.safe = parts.safe ?? 'Nothing was changed.';
    this.next = parts.next ?? [];
    this.exitStatus = parts.exitStatus ?? exitStatus.failed;
  }
}

/** The control plane gave no answer at all; whether it got the request is not known. */
export class UnreachableError extends CliError {
  override name = 'UnreachableError';

  constructor(url: string, cause: unknown) {
    super({
      code: 'control_plane_unreachable',
      happened: `No answer from the control plane at ${url}: ${describeCause(cause)}.`,
      safe: 'Jobs that run go on by themselves; their agents keep the results.',
      next: [{ label: 'see whether it runs', command: `curl -fsS ${url}/healthz` }],
      exitStatus: exitStatus.unreachable,
      cause,
    });
  }
}

/** The person used the command wrongly: exit status 2. */
export function usageError(happened: string, next: NextStep[] = [], code = 'usage'): CliError {
  return new CliError({ code, happened, next, exitStatus: exitStatus.usage });
}

function describeCause(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = (cause as NodeJS.ErrnoException).code;
  return code ?? cause.message;
}
