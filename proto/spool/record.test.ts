import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  channels,
  countLines,
  encodeRecord,
  RECORD_HEADER_BYTES,
  RECORD_PAYLOAD_MAX_BYTES,
  RecordDecoder,
  SpoolFormatError,
} from './record.ts';
import type { Channel, LogRecord } from './record.ts';

const record = fc.record({
  channel: fc.constantFrom(...(Object.keys(channels) as Channel[])),
  timeUs: fc.maxSafeNat(),
  payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});

const encodeAll = (records: readonly LogRecord[]) =>
  Buffer.concat(
    records.map(({ channel, timeUs, payload }) => encodeRecord(channel, timeUs, payload)),
  );

function decodeAll(decoder: RecordDecoder, pieces: Iterable<Uint8Array>): LogRecord[] {
  return [...pieces].flatMap((piece) =>
    // Each payload is copied: what the decoder gives out is a view of its own buffer.
    [...decoder.push(piece)].map((found) => ({ ...found, payload: Buffer.from(found.payload) })),
  );
}

describe('log records', () => {
  it('have a fixed encoding', () => {
    const bytes = encodeRecord('err', 0x0102_0304_0506, Buffer.from('hi\n'));
    expect(bytes.toString('hex')).toBe('03000000' + '02' + '0605040302010000' + '68690a');
    expect(bytes).toHaveLength(RECORD_HEADER_BYTES + 3);
  });

  it('come out of any cutting of their bytes as they went in', () => {
    fc.assert(
      fc.property(
        fc.array(record, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (records, cuts) => {
          const bytes = encodeAll(records);
          const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
          places.sort((a, b) => a - b);
          const decoder = new RecordDecoder();
          const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
          expect(decodeAll(decoder, pieces)).toEqual(records);
          expect(decoder.pendingBytes).toBe(0);
        },
      ),
    );
  });

  it('survive a reader that stops halfway', () => {
    const decoder = new RecordDecoder();
    const records: LogRecord[] = ['a', 'b', 'c'].map((text) => ({
      channel: 'out',
      timeUs: 1,
      payload: Buffer.from(text),
    }));
    const bytes = encodeAll(records);
    const first = decoder.push(bytes).next().value as LogRecord;
    expect(first.payload.toString()).toBe('a');
    const rest = decodeAll(decoder, [Buffer.alloc(0)]);
    expect(rest.map(({ payload }) => payload.toString())).toEqual(['b', 'c']);
  });

  it('that have not arrived whole are waiting, not lost', () => {
    const decoder = new RecordDecoder();
    const bytes = encodeRecord('out', 7, Buffer.from('hello'));
    expect(decodeAll(decoder, [bytes.subarray(0, -1)])).toEqual([]);
    expect(decoder.pendingBytes).toBe(bytes.length - 1);
    expect(decodeAll(decoder, [bytes.subarray(-1)])).toHaveLength(1);
    expect(decoder.pendingBytes).toBe(0);
  });

  it('may be as long as the limit and no longer', () => {
    const longest = Buffer.alloc(RECORD_PAYLOAD_MAX_BYTES, 0x61);
    const [found] = decodeAll(new RecordDecoder(), [encodeRecord('out', 1, longest)]);
    expect(found?.payload.equals(longest)).toBe(true);
    expect(() => encodeRecord('out', 1, Buffer.alloc(RECORD_PAYLOAD_MAX_BYTES + 1))).toThrow(
      RangeError,
    );
  });

  it.each([1.5, -1, Number.NaN, 2 ** 53])('have no time %s', (timeUs) => {
    expect(() => encodeRecord('out', timeUs, Buffer.alloc(0))).toThrow(RangeError);
  });

  it.each([
    ['a length over the limit', 'ffffff00' + '01' + '0000000000000000'],
    ['channel 0', '00000000' + '00' + '0000000000000000'],
    ['channel 5', '00000000' + '05' + '0000000000000000'],
    ['a time that no date can show', '00000000' + '01' + '0000000000002000'],
  ])('are refused with %s', (_what, hex) => {
    const push = () => decodeAll(new RecordDecoder(), [Buffer.from(hex, 'hex')]);
    expect(push).toThrow(SpoolFormatError);
  });

  it('are refused or read, never anything else, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(['read', 'refused']).toContain(outcomeOf(bytes));
      }),
    );
  });
});

function outcomeOf(bytes: Uint8Array): unknown {
  try {
    decodeAll(new RecordDecoder(), [bytes]);
    return 'read';
  } catch (error) {
    return error instanceof SpoolFormatError ? 'refused' : error;
  }
}

describe('lines', () => {
  it('are counted by their ends, in what the program printed', () => {
    const payload = Buffer.from('one\ntwo\n\nnot ended');
    expect(countLines({ channel: 'out', payload })).toBe(3);
    expect(countLines({ channel: 'err', payload })).toBe(3);
    expect(countLines({ channel: 'note', payload })).toBe(0);
    expect(countLines({ channel: 'gap', payload })).toBe(0);
    expect(countLines({ channel: 'out', payload: Buffer.alloc(0) })).toBe(0);
  });

  it('add up the same however the output was cut', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), (text, cut) => {
        const bytes = Buffer.from(text.replaceAll('a', '\n'));
        const at = cut % (bytes.length + 1);
        const parts = [bytes.subarray(0, at), bytes.subarray(at)];
        const sum = parts.reduce(
          (total, payload) => total + countLines({ channel: 'out', payload }),
          0,
        );
        expect(sum).toBe(countLines({ channel: 'out', payload: bytes }));
      }),
    );
  });
});
