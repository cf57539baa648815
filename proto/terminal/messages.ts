import { terminalSize } from '../actions/terminal.ts';
import { FrameError, MESSAGE_MAX_BYTES } from './frame.ts';

/** What the sealed part of a frame says: type (1) ‖ body. Integers are big endian. */

export interface ScreenSize {
  rows: number;
  columns: number;
}

export type AttachMessage =
  /** Engineer: I am here; of your data frames I have those before `received`. */
  | { type: 'attach'; received: number; size: ScreenSize }
  /** Agent: welcome; of yours I have those before `received`. */
  | { type: 'attached'; received: number };

export type DataMessage =
  /** What was typed, or what the shell printed. */
  | { type: 'bytes'; bytes: Buffer }
  | { type: 'resize'; size: ScreenSize }
  /** Data frames before this one have arrived. */
  | { type: 'ack'; received: number }
  /** Engineer: end the session. */
  | { type: 'close' }
  /** Agent: the session is over. */
  | { type: 'ended'; exitStatus: number | null; reason: string };

export type Message = AttachMessage | DataMessage;

const codes = {
  bytes: 1,
  resize: 2,
  ack: 3,
  close: 4,
  ended: 5,
  attach: 6,
  attached: 7,
} as const;
const names = new Map<number, string>(Object.entries(codes).map(([name, code]) => [code, name]));

/** Of a message that carries bytes, besides them. */
export const BYTES_MAX = MESSAGE_MAX_BYTES - 1;
const REASON_MAX_BYTES = 200;

export function encodeMessage(message: Message): Buffer {
  return Buffer.concat([Buffer.of(codes[message.type]), encodeBody(message)]);
}

function encodeBody(message: Message): Buffer {
  switch (message.type) {
    case 'bytes':
      return message.bytes;
    case 'resize':
      return encodeSize(message.size);
    case 'ack':
    case 'attached':
      return encodeCounter(message.received);
    case 'attach':
      return Buffer.concat([encodeCounter(message.received), encodeSize(message.size)]);
    case 'close':
      return Buffer.alloc(0);
    case 'ended': {
      const { exitStatus, reason } = message;
      const status = exitStatus === null ? Buffer.of(0, 0) : Buffer.of(1, exitStatus);
      return Buffer.concat([status, Buffer.from(reason.slice(0, REASON_MAX_BYTES), 'latin1')]);
    }
  }
}

/** Throws FrameError `frame_unexpected`: only somebody with the session's key can have made it. */
export function decodeMessage(bytes: Buffer): Message {
  const body = bytes.subarray(1);
  switch (names.get(bytes[0] ?? 0)) {
    case 'bytes':
      return { type: 'bytes', bytes: body };
    case 'resize':
      requireLength(body, 4);
      return { type: 'resize', size: decodeSize(body) };
    case 'ack':
      requireLength(body, 8);
      return { type: 'ack', received: decodeCounter(body) };
    case 'attached':
      requireLength(body, 8);
      return { type: 'attached', received: decodeCounter(body) };
    case 'attach':
      requireLength(body, 12);
      return { type: 'attach', received: decodeCounter(body), size: decodeSize(body.subarray(8)) };
    case 'close':
      requireLength(body, 0);
      return { type: 'close' };
    case 'ended':
      if (body.length < 2) throw unreadable();
      return {
        type: 'ended',
        exitStatus: body[0] === 1 ? body[1]! : null,
        reason: body.toString('latin1', 2, 2 + REASON_MAX_BYTES),
      };
    default:
      throw unreadable();
  }
}

function encodeSize({ rows, columns }: ScreenSize): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16BE(terminalSize.parse(rows), 0);
  bytes.writeUInt16BE(terminalSize.parse(columns), 2);
  return bytes;
}

function decodeSize(bytes: Buffer): ScreenSize {
  const size = { rows: bytes.readUInt16BE(0), columns: bytes.readUInt16BE(2) };
  const isReal = (count: number) => terminalSize.safeParse(count).success;
  if (!isReal(size.rows) || !isReal(size.columns)) throw unreadable();
  return size;
}

function encodeCounter(counter: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(counter), 0);
  return bytes;
}

function decodeCounter(bytes: Buffer): number {
  const counter = Number(bytes.readBigUInt64BE(0));
  if (!Number.isSafeInteger(counter)) throw unreadable();
  return counter;
}

function requireLength(body: Buffer, length: number): void {
  if (body.length !== length) throw unreadable();
}

function unreadable(): FrameError {
  return new FrameError('frame_unexpected', 'a frame says nothing that is known');
}
