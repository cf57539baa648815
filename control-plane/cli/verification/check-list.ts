/** What one check of a pack found. */
export interface Check {
  /** What was looked at: `operator root`, `order of 1042/3`. */
  subject: string;
  /** `note` tells something that is no failure but that the reader should know. */
  verdict: 'holds' | 'fails' | 'note';
  detail: string;
}

/** Gathers what the checks find, in the order they were made; none stops the others. */
export class CheckList {
  readonly checks: Check[] = [];

  holds(subject: string, detail: string): void {
    this.checks.push({ subject, verdict: 'holds', detail });
  }

  fails(subject: string, detail: string): void {
    this.checks.push({ subject, verdict: 'fails', detail });
  }

  note(subject: string, detail: string): void {
    this.checks.push({ subject, verdict: 'note', detail });
  }

  /** Runs one check; an error it throws is its finding. Null when it failed. */
  try<T>(subject: string, check: () => { value: T; detail: string }): T | null {
    try {
      const { value, detail } = check();
      this.holds(subject, detail);
      return value;
    } catch (error) {
      this.fails(subject, error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  get hasFailed(): boolean {
    return this.checks.some((check) => check.verdict === 'fails');
  }
}

/** Thrown by a check for what does not hold; the message is the finding. */
export class FindingError extends Error {
  override name = 'FindingError';
}
