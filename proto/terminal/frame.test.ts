import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { FrameCipher, MESSAGE_MAX_BYTES } from './frame.ts';
import type { FrameError, FrameKind } from './frame.ts';
import { decodeMessage, encodeMessage } from './messages.ts';
import type { Message } from './messages.ts';
import { splitSessionKeys } from './session-keys.ts';

const JOB = '0191f3a2-7b1c-7def-8abc-0123456789ab';
const keys = splitSessionKeys(
  Buffer.from(
    'e7c19c9c34916d887235a6b0d18dfa7c4bca0d7fc94d038b5e8902446ff5a076' +
      '6831bfc0de0c222b76a7fe9c935b28757e505d04615e60ad9c3150430c54c20b',
    'hex',
  ),
);
const engineer = new FrameCipher('engineer', keys, JOB);
const agent = new FrameCipher('agent', keys, JOB);

const faultOf = (open: () => unknown): string => {
  try {
    open();
  } catch (error) {
    return (error as FrameError).fault;
  }
  return 'none';
};

describe('a frame', () => {
  it('is the one that another implementation of AES-GCM makes', () => {
    const frame = engineer.seal('data', 7, Buffer.from('\u0001ls -l\r'));
    expect(frame.toString('hex')).toBe(
      '020000000000000007e8a6b20bd52dad89eed99a78042dc08b09109037b6ab73',
    );
  });

  it('comes out as it went in', () => {
    const kinds = fc.constantFrom<FrameKind>('attach', 'data');
    const counters = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(kinds, counters, fc.uint8Array({ maxLength: 300 }), (kind, counter, bytes) => {
        const message = Buffer.from(bytes);
        const opened = agent.open(engineer.seal(kind, counter, message));
        expect(opened).toEqual({ kind, counter, message });
      }),
    );
  });

  it('is refused when any bit of it is another', () => {
    const frame = engineer.seal('data', 3, Buffer.from('reboot'));
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const changed = Buffer.from(frame);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(['frame_forged', 'frame_malformed']).toContain(faultOf(() => agent.open(changed)));
    }
  });

  it('is refused when it is cut or longer', () => {
    const frame = engineer.seal('data', 3, Buffer.from('reboot'));
    for (let length = 0; length < frame.length; length++) {
      expect(faultOf(() => agent.open(frame.subarray(0, length)))).not.toBe('none');
    }
    expect(faultOf(() => agent.open(Buffer.concat([frame, Buffer.of(0)])))).toBe('frame_forged');
  });

  it('is refused by the side that made it, by another session and with other keys', () => {
    const frame = engineer.seal('data', 0, Buffer.from('x'));
    const otherJob = new FrameCipher('agent', keys, JOB.replace('ab', 'ac'));
    const { fromEngineer, fromAgent } = keys;
    const swapped = { fromEngineer: fromAgent, fromAgent: fromEngineer };
    const otherKeys = new FrameCipher('agent', swapped, JOB);
    for (const cipher of [engineer, otherJob, otherKeys]) {
      expect(faultOf(() => cipher.open(frame))).toBe('frame_forged');
    }
  });

  it('is never opened from arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(faultOf(() => agent.open(bytes))).not.toBe('none');
      }),
    );
  });

  it('has a largest size', () => {
    const largest = Buffer.alloc(MESSAGE_MAX_BYTES);
    expect(agent.open(engineer.seal('data', 0, largest)).message).toEqual(largest);
    expect(() => engineer.seal('data', 0, Buffer.alloc(MESSAGE_MAX_BYTES + 1))).toThrow(RangeError);
    expect(faultOf(() => agent.open(Buffer.alloc(1024 * 1024, 2)))).toBe('frame_malformed');
  });
});

describe('a message', () => {
  const size = { rows: 24, columns: 80 };
  it.each<Message>([
    { type: 'bytes', bytes: Buffer.from('ls\r') },
    { type: 'bytes', bytes: Buffer.alloc(0) },
    { type: 'resize', size },
    { type: 'ack', received: 2 ** 40 },
    { type: 'close' },
    { type: 'ended', exitStatus: 7, reason: 'shell_ended' },
    { type: 'ended', exitStatus: null, reason: 'idle' },
    { type: 'attach', received: 0, size },
    { type: 'attached', received: 12 },
  ])('$type comes out as it went in', (message) => {
    expect(decodeMessage(encodeMessage(message))).toEqual(message);
  });

  it('is read from arbitrary bytes, or refused with a reason', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
        const fault = faultOf(() => decodeMessage(Buffer.from(bytes)));
        expect(['none', 'frame_unexpected']).toContain(fault);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['no rows', Buffer.from([2, 0, 0, 0, 80])],
    ['too many columns', Buffer.from([2, 0, 24, 0xff, 0xff])],
    ['half a size', Buffer.from([2, 0, 24])],
    ['half a number', Buffer.from([3, 0, 0])],
    ['a number no counter can be', Buffer.from([3, 0xff, 0, 0, 0, 0, 0, 0, 0])],
    ['something after the end', Buffer.from([4, 0])],
    ['no type', Buffer.alloc(0)],
  ])('is refused with %s', (_what, bytes) => {
    expect(faultOf(() => decodeMessage(bytes))).toBe('frame_unexpected');
  });
});
