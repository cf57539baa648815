import { StringDecoder } from 'node:string_decoder';
import type { ScreenSize } from '../../../proto/terminal/messages.ts';

export interface RecordingHeader {
  size: ScreenSize;
  /** Seconds since 1970. */
  startedAt: number;
  term: string;
  shell: string;
}

/**
 * The session as asciicast v2 (docs.asciinema.org/manual/asciicast/v2): a header, then one event a line.
 * What was typed is in it only where `input` says so. Returned are the lines to be written to the log.
 */
export class Recording {
  private readonly startMs: number;
  private readonly nowMs: () => number;
  private readonly out = new StringDecoder('utf8');
  private readonly in = new StringDecoder('utf8');

  /** @param nowMs monotonic milliseconds */
  constructor(nowMs: () => number = () => performance.now()) {
    this.nowMs = nowMs;
    this.startMs = nowMs();
  }

  header({ size, startedAt, term, shell }: RecordingHeader): Buffer {
    return line({
      version: 2,
      width: size.columns,
      height: size.rows,
      timestamp: startedAt,
      env: { TERM: term, SHELL: shell },
    });
  }

  output(bytes: Buffer): Buffer {
    return this.event('o', this.out.write(bytes));
  }

  input(bytes: Buffer): Buffer {
    return this.event('i', this.in.write(bytes));
  }

  resize({ rows, columns }: ScreenSize): Buffer {
    return this.event('r', `${columns}x${rows}`);
  }

  /** Half a character that nothing followed. */
  end(): Buffer {
    return Buffer.concat([this.event('o', this.out.end()), this.event('i', this.in.end())]);
  }

  private event(code: 'o' | 'i' | 'r', data: string): Buffer {
    if (data === '') return Buffer.alloc(0);
    const seconds = Math.round((this.nowMs() - this.startMs) * 1000) / 1e6;
    return line([seconds, code, data]);
  }
}

function line(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
