import type { ActionContext } from '../../runner/action.ts';

/** Steps smaller than this are not worth a message. */
const STEP_PERCENT = 1;

/**
 * Reads what apt reports on APT::Status-Fd (apt's README.progress-reporting): `dlstatus` while it fetches,
 * `pmstatus` while dpkg works, `pmerror` for a package that failed.
 */
export class AptProgress {
  /** The option that makes apt report on the descriptor that `onDescriptor` reads. */
  readonly words: readonly string[] = ['-o', 'APT::Status-Fd=3'];
  /** Packages that failed, and why. */
  readonly errors: { name: string; message: string }[] = [];
  private readonly context: Pick<ActionContext, 'progress'>;
  private readonly phase: string;
  private rest = '';
  private last: string | null = null;
  private lastPercent = -Infinity;

  constructor(context: Pick<ActionContext, 'progress'>, phase: string) {
    this.context = context;
    this.phase = phase;
  }

  take(bytes: Buffer): void {
    const lines = (this.rest + bytes.toString('utf8')).split('\n');
    this.rest = lines.pop()!.slice(-4096);
    lines.forEach((line) => this.line(line));
  }

  private line(line: string): void {
    const [, kind, name, percent, text] =
      /^(dlstatus|pmstatus|pmerror):(.*?):([0-9.]+):(.*)$/.exec(line) ?? [];
    if (kind === undefined) return;
    if (kind === 'pmerror') {
      this.errors.push({ name: name!, message: text!.slice(0, 500) });
      return;
    }
    const value = Math.min(100, Math.max(0, Number(percent) || 0));
    if (text === this.last && value < this.lastPercent + STEP_PERCENT) return;
    this.last = text!;
    this.lastPercent = value;
    this.context.progress(this.phase, Math.round(value), text!.slice(0, 200));
  }
}
