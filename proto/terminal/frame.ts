import { createCipheriv, createDecipheriv } from 'node:crypto';
import { uuidBytes } from './session-keys.ts';
import type { SessionKeys } from './session-keys.ts';

/**
 * One frame of a terminal session, as it travels between engineer and agent. The control plane passes it
 * on and can neither read, make nor change one.
 *
 *     frame     = kind (1) ‖ counter (8) ‖ sealed message ‖ tag (16)          integers big endian
 *     nonce     = kind (1) ‖ 000000 (3) ‖ counter (8)
 *     AAD       = "intervene terminal v1" ‖ 0x00 ‖ direction (1) ‖ kind (1) ‖ job (16) ‖ counter (8)
 *     cipher    = AES-256-GCM with the key of the direction
 *
 * Kind 1, `attach`: opens a connection; its counter is the number of the attachment, and both sides use it
 * once per attachment. Kind 2, `data`: everything else; the counter starts at 0, grows by one with each
 * frame and goes on over reconnections. A frame that is sent again after a lost connection is the same
 * bytes again, so that no nonce ever seals two messages. Direction: 0 from the engineer, 1 from the agent.
 */
export const frameKinds = { attach: 1, data: 2 } as const;
export type FrameKind = keyof typeof frameKinds;
export type Side = 'engineer' | 'agent';

/** Of a message, so that a frame fits every limit on its way. */
export const MESSAGE_MAX_BYTES = 16 * 1024;
const HEADER_BYTES = 9;
const TAG_BYTES = 16;
export const FRAME_MAX_BYTES = HEADER_BYTES + MESSAGE_MAX_BYTES + TAG_BYTES;

const LABEL = Buffer.from('intervene terminal v1\0');

/** Why a session cannot go on: what arrived is not what the other side sent. */
export type FrameFault =
  /** No frame at all. */
  | 'frame_malformed'
  /** Not sealed with the session's key, or changed on the way. */
  | 'frame_forged'
  /** Arrived before. */
  | 'frame_replayed'
  /** Frames before it did not arrive. */
  | 'frame_missing'
  /** Sealed by the other side, but out of place. */
  | 'frame_unexpected';

export class FrameError extends Error {
  override name = 'FrameError';
  readonly fault: FrameFault;

  constructor(fault: FrameFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** Seals what one side sends and opens what the other side sent. Keeps no order: see `FrameLink`. */
export class FrameCipher {
  private readonly sendKey: Buffer;
  private readonly receiveKey: Buffer;
  private readonly sendDirection: number;
  private readonly job: Buffer;

  constructor(side: Side, keys: SessionKeys, job: string) {
    const isEngineer = side === 'engineer';
    this.sendKey = isEngineer ? keys.fromEngineer : keys.fromAgent;
    this.receiveKey = isEngineer ? keys.fromAgent : keys.fromEngineer;
    this.sendDirection = isEngineer ? 0 : 1;
    this.job = uuidBytes(job);
  }

  /** Each kind and counter once only. */
  seal(kind: FrameKind, counter: number, message: Uint8Array): Buffer {
    if (message.byteLength > MESSAGE_MAX_BYTES) throw new RangeError('message too large');
    const header = headerOf(kind, counter);
    const cipher = createCipheriv('aes-256-gcm', this.sendKey, nonceOf(header));
    cipher.setAAD(this.associated(header, this.sendDirection));
    return Buffer.concat([header, cipher.update(message), cipher.final(), cipher.getAuthTag()]);
  }

  /** Throws FrameError. */
  open(frame: Uint8Array): { kind: FrameKind; counter: number; message: Buffer } {
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    const { kind, counter } = readHeader(bytes);
    const header = bytes.subarray(0, HEADER_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', this.receiveKey, nonceOf(header), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(this.associated(header, 1 - this.sendDirection));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const sealed = bytes.subarray(HEADER_BYTES, -TAG_BYTES);
      return { kind, counter, message: Buffer.concat([decipher.update(sealed), decipher.final()]) };
    } catch {
      throw new FrameError('frame_forged', 'a frame was not made by the other side');
    }
  }

  private associated(header: Buffer, direction: number): Buffer {
    const [kind, counter] = [header.subarray(0, 1), header.subarray(1)];
    return Buffer.concat([LABEL, Buffer.of(direction), kind, this.job, counter]);
  }
}

function headerOf(kind: FrameKind, counter: number): Buffer {
  if (!Number.isSafeInteger(counter) || counter < 0) throw new RangeError('not a counter');
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(frameKinds[kind], 0);
  header.writeBigUInt64BE(BigInt(counter), 1);
  return header;
}

function nonceOf(header: Buffer): Buffer {
  return Buffer.concat([header.subarray(0, 1), Buffer.alloc(3), header.subarray(1, HEADER_BYTES)]);
}

function readHeader(bytes: Buffer): { kind: FrameKind; counter: number } {
  if (bytes.length < HEADER_BYTES + TAG_BYTES || bytes.length > FRAME_MAX_BYTES) {
    throw new FrameError('frame_malformed', `a frame of ${bytes.length} bytes`);
  }
  const code = bytes.readUInt8(0);
  const counter = Number(bytes.readBigUInt64BE(1));
  const kind = (['attach', 'data'] as const).find((name) => frameKinds[name] === code);
  if (kind === undefined || !Number.isSafeInteger(counter)) {
    throw new FrameError('frame_malformed', 'what arrived is no frame');
  }
  return { kind, counter };
}
