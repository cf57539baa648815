/**
 * Measures how long a job has been cut off: since its agent said so, or since no agent has been there.
 * An agent that comes back does not yet mean a connection; it says so when it has one.
 */
export class DisconnectWatch {
  private readonly afterMs: number;
  private readonly onTooLong: () => void;
  private timer: NodeJS.Timeout | null = null;

  constructor(afterMs: number, onTooLong: () => void) {
    this.afterMs = afterMs;
    this.onTooLong = onTooLong;
  }

  connected(isConnected: boolean): void {
    if (isConnected) this.stop();
    else this.timer ??= setTimeout(this.onTooLong, this.afterMs);
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}
