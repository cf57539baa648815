import { FRAME_MAX_BYTES } from '../../proto/terminal/frame.ts';

/**
 * Where a runner with a terminal takes connections, in its job's folder. Each connection is one attachment
 * of the engineer's program, passed on by the agent: frames, each after its length (u32, big endian).
 */
export const TERMINAL_SOCKET = 'terminal.sock';

const LENGTH_BYTES = 4;

export function encodeLengthAndFrame(frame: Uint8Array): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(frame.byteLength);
  return Buffer.concat([length, frame]);
}

/** Takes a byte stream apart into frames, whatever pieces it arrives in. */
export class FrameReader {
  private pending: Buffer = Buffer.alloc(0);

  /** Throws RangeError for a length that no frame has. */
  push(bytes: Buffer): Buffer[] {
    let data = this.pending.length === 0 ? bytes : Buffer.concat([this.pending, bytes]);
    const frames: Buffer[] = [];
    while (data.length >= LENGTH_BYTES) {
      const length = data.readUInt32BE(0);
      if (length === 0 || length > FRAME_MAX_BYTES)
        throw new RangeError('not the length of a frame');
      if (data.length < LENGTH_BYTES + length) break;
      frames.push(data.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
      data = data.subarray(LENGTH_BYTES + length);
    }
    this.pending = Buffer.from(data);
    return frames;
  }
}
