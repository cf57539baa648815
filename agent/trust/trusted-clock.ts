import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { writeDurably } from '../connection/durable-file.ts';

const DAY_MS = 24 * 3600 * 1000;
/** A wall clock that is further ahead than this is believed only when local root says so. */
export const JUMP_LIMIT_MS = DAY_MS;

const markSchema = z.strictObject({
  /** Milliseconds since 1970. */
  mark: z.int().min(0),
  /** How often local root has set the mark. */
  accepted: z.int().min(0),
});
type Mark = z.output<typeof markSchema>;

/** Thrown when the mark on disk cannot be read; `acceptTime` writes a new one. */
export class TimeMarkError extends Error {
  override name = 'TimeMarkError';
}

/** Where time comes from; both in milliseconds. */
export interface TimeSource {
  wallMs(): number;
  monotonicMs(): number;
}

const systemTime: TimeSource = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** What the agent believes the time is. */
export interface TrustedTime {
  nowMs: number;
  /** Whole seconds, as documents count. */
  now: number;
  /** The wall clock is over 24 h ahead: nothing may be judged by time until local root accepts it. */
  jumped: boolean;
}

/**
 * Time that moves by the monotonic clock and never back, also across restarts: the greatest time seen is
 * kept on disk. Small steps of the wall clock forward are followed; steps back are not.
 */
export class TrustedClock {
  private readonly file: string;
  private readonly source: TimeSource;
  private accepted: number;
  /** The believed time when the monotonic clock showed `atMs`. */
  private baseMs: number;
  private atMs: number;

  private constructor(file: string, source: TimeSource, mark: Mark) {
    this.file = file;
    this.source = source;
    this.accepted = mark.accepted;
    this.baseMs = mark.mark;
    this.atMs = source.monotonicMs();
  }

  /**
   * Goes on from the mark on disk. Without one the wall clock is believed, but not below `floorMs`: the
   * time a rescue image was built. Throws TimeMarkError when the mark is damaged.
   */
  static async open(
    file: string,
    options: { floorMs?: number; source?: TimeSource } = {},
  ): Promise<TrustedClock> {
    const source = options.source ?? systemTime;
    const known = readMark(file);
    const first = Math.max(source.wallMs(), options.floorMs ?? 0);
    const clock = new TrustedClock(file, source, known ?? { mark: first, accepted: 0 });
    if (known === undefined) await clock.write();
    return clock;
  }

  read(): TrustedTime {
    let time = this.advance();
    if (time.jumped && this.adoptAccepted()) time = this.advance();
    return time;
  }

  /** Milliseconds since 1970. */
  nowMs(): number {
    return this.read().nowMs;
  }

  /** Puts the mark on disk; call it every minute and when the agent stops. */
  async save(): Promise<void> {
    this.adoptAccepted();
    this.advance();
    await this.write();
  }

  private advance(): TrustedTime {
    const monotonicMs = this.source.monotonicMs();
    const elapsedMs = Math.max(0, monotonicMs - this.atMs);
    const ownMs = this.baseMs + elapsedMs;
    const wallMs = this.source.wallMs();
    const jumped = wallMs - ownMs > JUMP_LIMIT_MS;
    const nowMs = jumped ? ownMs : Math.max(ownMs, wallMs);
    this.baseMs = nowMs;
    this.atMs = monotonicMs;
    return { nowMs: Math.floor(nowMs), now: Math.floor(nowMs / 1000), jumped };
  }

  /** Local root may set the mark while the agent runs. */
  private adoptAccepted(): boolean {
    const mark = readMark(this.file);
    if (mark === undefined || mark.accepted <= this.accepted) return false;
    this.accepted = mark.accepted;
    this.baseMs = mark.mark;
    this.atMs = this.source.monotonicMs();
    return true;
  }

  private async write(): Promise<void> {
    await writeMark(this.file, { mark: Math.floor(this.baseMs), accepted: this.accepted });
  }
}

/**
 * What `intervene-agent trust accept-time` does: the wall clock is believed from now on, forward or back.
 * A running agent notices within a minute, and at once when it waits for this.
 */
export async function acceptTime(file: string, source: TimeSource = systemTime): Promise<void> {
  let accepted = 0;
  try {
    accepted = readMark(file)?.accepted ?? 0;
  } catch (error) {
    if (!(error instanceof TimeMarkError)) throw error;
    // A damaged mark has no number; this one is higher than any that was counted up to.
    accepted = Math.floor(source.wallMs());
  }
  await writeMark(file, { mark: Math.floor(source.wallMs()), accepted: accepted + 1 });
}

function readMark(file: string): Mark | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new TimeMarkError(`${file} cannot be read`, { cause: error });
  }
  try {
    return markSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new TimeMarkError(`${file} is damaged`, { cause: error });
  }
}

async function writeMark(file: string, mark: Mark): Promise<void> {
  await writeDurably(file, `${JSON.stringify(mark)}\n`);
}
