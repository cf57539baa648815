import type { LogRecord } from '../../../proto/spool/record.ts';
import type { JobBody } from '../api/bodies.ts';
import type { LogView } from './log-view.ts';

/** An event is one read of a pty; a longer line was written by nobody's terminal. */
const LINE_MAX = 1024 * 1024;

/**
 * Takes what was on the screen out of a recording (asciicast v2, an event a line), in whatever pieces it
 * arrives. What is no event comes out as it is: whoever shows it makes it harmless.
 */
export class RecordedScreen {
  private rest = '';
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  push(bytes: Uint8Array): string {
    const lines = (this.rest + this.decoder.decode(bytes, { stream: true })).split('\n');
    this.rest = lines.pop() ?? '';
    if (this.rest.length > LINE_MAX) {
      lines.push(this.rest);
      this.rest = '';
    }
    return lines.map(screenOf).join('');
  }

  end(): string {
    const { rest } = this;
    this.rest = '';
    return rest === '' ? '' : screenOf(rest);
  }
}

function screenOf(line: string): string {
  try {
    const event: unknown = JSON.parse(line);
    if (Array.isArray(event))
      return event[1] === 'o' && typeof event[2] === 'string' ? event[2] : '';
    if ((event as { version?: unknown } | null)?.version === 2) return '';
  } catch {
    // Not an event, or half of one.
  }
  return `${line}\n`;
}

/** Shows the recording of a terminal as the text that was on its screen. */
export class RecordedScreenView implements LogView {
  private readonly view: LogView;
  private readonly screen = new RecordedScreen();

  constructor(view: LogView) {
    this.view = view;
  }

  get unfinishedLine(): string {
    return this.view.unfinishedLine;
  }

  take(records: readonly LogRecord[]): Promise<void> {
    return this.view.take(
      records.map((record) =>
        record.channel === 'out'
          ? { ...record, payload: Buffer.from(this.screen.push(record.payload)) }
          : record,
      ),
    );
  }

  async finish(job: JobBody): Promise<void> {
    const payload = Buffer.from(this.screen.end());
    if (payload.length > 0) await this.view.take([{ channel: 'out', timeUs: 0, payload }]);
    await this.view.finish(job);
  }
}
