import { TextDecoder } from 'node:util';
import type { Channel, Gap } from '../../proto/spool/record.ts';
import { skipLines } from './log-records.ts';
import type { PlacedRecord } from './log-records.ts';

export type ReadChannel = Exclude<Channel, 'gap'>;

/** A record as readers of events and JSON lines get it. */
export type LogLine =
  | { offset: number; next: number; time: string; channel: ReadChannel; text: string }
  | { offset: number; next: number; time: string; channel: 'gap'; gap: Gap };

/**
 * Turns the records of one log into text. A character cut apart between two records of a channel is put
 * together; bytes that are no UTF-8 become U+FFFD.
 */
export class LogText {
  private readonly decoders = new Map<Channel, TextDecoder>();

  /** @param skip lines of the record to leave out */
  read({ offset, next, record }: PlacedRecord, skip = 0): LogLine {
    const time = new Date(record.timeUs / 1000).toISOString();
    if (record.channel === 'gap') {
      return { offset, next, time, channel: 'gap', gap: readGap(record.payload) };
    }
    const { payload } = skip > 0 ? skipLines(record, skip) : record;
    const text = this.decoder(record.channel).decode(payload, { stream: true });
    return { offset, next, time, channel: record.channel, text };
  }

  private decoder(channel: Channel): TextDecoder {
    let decoder = this.decoders.get(channel);
    if (decoder === undefined) {
      decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      this.decoders.set(channel, decoder);
    }
    return decoder;
  }
}

/** What an agent of ours wrote; anything else counts as a gap of unknown size. */
function readGap(payload: Buffer): Gap {
  try {
    const gap = JSON.parse(payload.toString('utf8')) as Partial<Gap>;
    return {
      missingBytes: Number(gap.missingBytes) || 0,
      missingLines: Number(gap.missingLines) || 0,
    };
  } catch {
    return { missingBytes: 0, missingLines: 0 };
  }
}
