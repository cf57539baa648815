import { setTimeout as sleep } from 'node:timers/promises';

export interface PathWatchTimings {
  /** From one ping to the next. */
  everyMs: number;
  /** A ping without an answer for this long is a reason to try another way. */
  patienceMs: number;
}

export interface PathWatchOptions {
  /** Whether anything waits to get through; pings only then. */
  isBusy: () => boolean;
  /** Resolves when the other end has answered; rejects when the connection is gone. */
  ping: () => Promise<void>;
  /** Whether a new connection can be made now. */
  probe: () => Promise<boolean>;
  /** A new connection works and this one still does not. */
  onDead: () => void;
  timings?: PathWatchTimings;
}

const TIMINGS: PathWatchTimings = { everyMs: 2_000, patienceMs: 2_500 };

/**
 * Finds out early that a connection is better made anew. After an interruption TCP sends again only at
 * intervals that have doubled each time, up to seconds after the path is back; a new connection is through
 * at once. While the path is down, or the other end only slow, nothing is changed.
 */
export class PathWatch {
  private readonly options: PathWatchOptions;
  private readonly stopping = new AbortController();

  constructor(options: PathWatchOptions) {
    this.options = options;
    void this.run();
  }

  stop(): void {
    this.stopping.abort();
  }

  private get isStopped(): boolean {
    return this.stopping.signal.aborted;
  }

  private async run(): Promise<void> {
    const { everyMs, patienceMs } = this.options.timings ?? TIMINGS;
    while (!this.isStopped) {
      await this.pause(everyMs);
      if (this.isStopped || !this.options.isBusy()) continue;
      let isAnswered = false;
      // A connection that is gone tells so by itself.
      const answer = this.options.ping().catch(() => {});
      const answered = answer.then(() => {
        isAnswered = true;
      });
      await Promise.race([answered, this.pause(patienceMs)]);
      while (!this.isStopped && !isAnswered) {
        if ((await this.options.probe()) && !isAnswered && !this.isStopped) {
          this.stop();
          this.options.onDead();
        }
        await Promise.race([answered, this.pause(Math.random() * 500)]);
      }
    }
  }

  /** Rejections mean that it was stopped, which the callers look for themselves. */
  private async pause(ms: number): Promise<void> {
    const { signal } = this.stopping;
    await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
  }
}
