/** Calls back at once, then at most once in each interval while it is touched. */
export class Pace {
  private readonly everyMs: number;
  private readonly call: () => void;
  private timer: NodeJS.Timeout | null = null;
  private isTouched = false;

  constructor(everyMs: number, call: () => void) {
    this.everyMs = everyMs;
    this.call = call;
  }

  touch(): void {
    if (this.timer !== null) {
      this.isTouched = true;
      return;
    }
    this.call();
    this.timer = setTimeout(() => {
      this.timer = null;
      if (!this.isTouched) return;
      this.isTouched = false;
      this.touch();
    }, this.everyMs);
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}
