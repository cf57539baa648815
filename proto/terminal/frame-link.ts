import { FrameCipher, FrameError } from './frame.ts';
import type { Side } from './frame.ts';
import { decodeMessage, encodeMessage } from './messages.ts';
import type { DataMessage, Message, ScreenSize } from './messages.ts';
import type { SessionKeys } from './session-keys.ts';

/** After bytes arrived: the other side may let go of them soon, but not with a frame for each key. */
const ACK_MS = 100;
/** After mere acknowledgements: so both sides say something every few seconds. */
const ACK_IDLE_MS = 5_000;
/** A connection on which nothing is heard for this long is lost, or somebody holds frames back. */
export const LINK_SILENCE_MS = 15_000;

/** Unacknowledged bytes after which a side must read no more of what it sends. */
export const linkWindow = { engineer: 64 * 1024, agent: 1024 * 1024 } as const;

export type Write = (frame: Buffer) => void;

/**
 * One side of a terminal session, over as many connections as it takes. Every data frame arrives once and
 * in order, or the session is over: after a lost connection each side says what it has, in a frame that
 * only it can make, and gets the rest, the same bytes again. What is not acknowledged is kept; a sender
 * looks at `isFull` and reads no more then, so that memory is bounded and nothing is ever dropped.
 *
 * Everything that arrives throws FrameError when it is not exactly what comes next; after that the session
 * must end.
 */
export class FrameLink {
  private readonly side: Side;
  private readonly cipher: FrameCipher;
  private readonly onRoom: () => void;
  private readonly kept: { counter: number; frame: Buffer }[] = [];
  private keptBytes = 0;
  private nextCounter = 0;
  /** Data frames before this one have arrived. */
  private expected = 0;
  private acknowledged = 0;
  private attachment = 0;
  private write: Write | null = null;
  private isAttached = false;
  private ackTimer: NodeJS.Timeout | null = null;
  private ackAt = Infinity;

  /** @param onRoom called when `isFull` became false */
  constructor(side: Side, keys: SessionKeys, job: string, onRoom: () => void = () => undefined) {
    this.side = side;
    this.cipher = new FrameCipher(side, keys, job);
    this.onRoom = onRoom;
  }

  /** Whether both sides have found each other on the present connection. */
  get isOpen(): boolean {
    return this.isAttached;
  }

  get isFull(): boolean {
    return this.keptBytes >= linkWindow[this.side];
  }

  /** Whether the other side has all there was to say. */
  get isDrained(): boolean {
    return this.kept.length === 0;
  }

  get bytesKept(): number {
    return this.keptBytes;
  }

  /** How often both sides have found each other. */
  get attachments(): number {
    return this.attachment;
  }

  /** The engineer's side: begins a new connection. */
  begin(size: ScreenSize, write: Write): void {
    this.detach();
    this.write = write;
    this.attachment++;
    const message = { type: 'attach', received: this.expected, size } as const;
    write(this.cipher.seal('attach', this.attachment, encodeMessage(message)));
  }

  /**
   * The agent's side: takes the first frame of a new connection, which replaces the one before. Null for an
   * attachment older than the present one: its connection is to be closed, and means nothing.
   */
  accept(frame: Uint8Array, write: Write): ScreenSize | null {
    const { kind, counter, message } = this.cipher.open(frame);
    const attach = decodeMessage(message);
    if (kind !== 'attach' || attach.type !== 'attach') throw unexpected('no attachment');
    if (counter <= this.attachment) return null;
    this.detach();
    this.requirePosition(attach.received);
    this.attachment = counter;
    this.write = write;
    const answer = encodeMessage({ type: 'attached', received: this.expected });
    write(this.cipher.seal('attach', counter, answer));
    this.resume(attach.received);
    return attach.size;
  }

  /** The next message, or null for what concerns the link alone. */
  receive(frame: Uint8Array): DataMessage | null {
    const { kind, counter, message: bytes } = this.cipher.open(frame);
    if (kind === 'attach') {
      this.takeAnswer(counter, decodeMessage(bytes));
      return null;
    }
    if (counter < this.expected) {
      throw new FrameError('frame_replayed', `frame ${counter} came again`);
    }
    if (!this.isAttached) throw unexpected('data before the attachment');
    if (counter > this.expected) {
      throw new FrameError('frame_missing', `frame ${counter} came instead of ${this.expected}`);
    }
    this.expected++;
    const message = decodeMessage(bytes);
    this.requireSender(message);
    this.acknowledgeWithin(message.type === 'ack' ? ACK_IDLE_MS : ACK_MS);
    if (message.type !== 'ack') return message as DataMessage;
    // One that was sent again may say less than the attachment did.
    if (message.received > this.nextCounter) throw unexpected('an impossible position');
    this.release(message.received);
    return null;
  }

  /** Sent now, or when there is a connection. */
  send(message: DataMessage): void {
    const counter = this.nextCounter++;
    const frame = this.cipher.seal('data', counter, encodeMessage(message));
    this.kept.push({ counter, frame });
    this.keptBytes += frame.length;
    if (this.isAttached) this.write?.(frame);
  }

  /** Says what has arrived now, and not a little later. */
  acknowledge(): void {
    this.acknowledgeWithin(0);
  }

  /** The connection is gone; what is kept waits for the next one. */
  detach(): void {
    this.write = null;
    this.isAttached = false;
    if (this.ackTimer !== null) clearTimeout(this.ackTimer);
    this.ackTimer = null;
    this.ackAt = Infinity;
  }

  private takeAnswer(counter: number, message: Message): void {
    const isAnswer = this.side === 'engineer' && message.type === 'attached';
    if (!isAnswer || this.isAttached || this.write === null)
      throw unexpected('a second attachment');
    if (counter !== this.attachment) {
      throw new FrameError('frame_replayed', 'the answer to an earlier attachment');
    }
    this.requirePosition(message.received);
    this.resume(message.received);
  }

  private resume(received: number): void {
    this.release(received);
    this.isAttached = true;
    for (const { frame } of this.kept) this.write?.(frame);
    if (this.expected > this.acknowledged) this.acknowledgeWithin(ACK_MS);
  }

  /** What the other side says to have must be what it can have. */
  private requirePosition(received: number): void {
    const first = this.kept[0]?.counter ?? this.nextCounter;
    if (received < first || received > this.nextCounter) throw unexpected('an impossible position');
  }

  private requireSender(message: Message): void {
    const own: readonly Message['type'][] =
      this.side === 'engineer' ? ['bytes', 'ack', 'ended'] : ['bytes', 'ack', 'resize', 'close'];
    if (!own.includes(message.type)) throw unexpected(`${message.type} from the wrong side`);
  }

  private release(received: number): void {
    const wasFull = this.isFull;
    const first = this.kept[0]?.counter ?? received;
    const gone = this.kept.splice(0, Math.max(0, received - first));
    for (const { frame } of gone) this.keptBytes -= frame.length;
    if (wasFull && !this.isFull) this.onRoom();
  }

  private acknowledgeWithin(ms: number): void {
    const at = performance.now() + ms;
    if (at >= this.ackAt) return;
    if (this.ackTimer !== null) clearTimeout(this.ackTimer);
    this.ackAt = at;
    this.ackTimer = setTimeout(() => {
      this.ackTimer = null;
      this.ackAt = Infinity;
      this.acknowledged = this.expected;
      if (this.isAttached) this.send({ type: 'ack', received: this.expected });
    }, ms);
  }
}

function unexpected(what: string): FrameError {
  return new FrameError('frame_unexpected', what);
}
