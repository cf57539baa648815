import { closeSync, constants, lstatSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { CONTROL_SOCKET } from './control-messages.ts';

/** Longer lines end the channel: sealed inputs are 16 KiB each at most. */
const LINE_MAX_BYTES = 1024 * 1024;
const LF = 10;

/**
 * JSON lines over a Unix socket, both ways. Everything that can go wrong with the far end closes the
 * channel and nothing else; `onClose` tells.
 */
export class ControlChannel<In, Out> {
  private readonly socket: Socket;
  private readonly pieces: Buffer[] = [];
  private pendingBytes = 0;
  private isOpenNow = true;
  /** Who listens may change hands while the channel is open. */
  onMessage: (message: In) => void;
  onClose: () => void;

  constructor(socket: Socket, onMessage: (message: In) => void, onClose: () => void) {
    this.socket = socket;
    this.onMessage = onMessage;
    this.onClose = onClose;
    socket.on('data', (bytes: Buffer) => this.take(bytes));
    // The reason does not matter: a far end that is gone is gone.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isOpenNow = false;
      this.onClose();
    });
  }

  get isOpen(): boolean {
    return this.isOpenNow;
  }

  /** Whether the far end does not keep up; messages that only repeat a state can wait for `onDrain`. */
  get isCongested(): boolean {
    return this.socket.writableNeedDrain;
  }

  onDrain(listener: () => void): void {
    this.socket.once('drain', listener);
  }

  send(message: Out): void {
    if (this.isOpen && this.socket.writable) this.socket.write(`${JSON.stringify(message)}\n`);
  }

  /** Sends what is queued, then closes. */
  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  unref(): void {
    this.socket.unref();
  }

  private take(bytes: Buffer): void {
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(LF, at);
      if (end === -1) break;
      this.pieces.push(bytes.subarray(at, end));
      const line = Buffer.concat(this.pieces);
      this.pieces.length = 0;
      this.pendingBytes = 0;
      at = end + 1;
      const message = parseMessage(line);
      if (message === null || !this.isOpen) return this.destroy();
      this.onMessage(message as In);
    }
    if (at === bytes.length) return;
    this.pieces.push(Buffer.from(bytes.subarray(at)));
    this.pendingBytes += bytes.length - at;
    if (this.pendingBytes > LINE_MAX_BYTES) this.destroy();
  }
}

function parseMessage(line: Buffer): { type: string } | null {
  try {
    const message = JSON.parse(line.toString('utf8')) as { type?: unknown } | null;
    return typeof message?.type === 'string' ? (message as { type: string }) : null;
  } catch {
    return null;
  }
}

/**
 * Connects to a socket of the runner in `directory`. Rejects with `ECONNREFUSED` when no runner listens any more and
 * with `ENOENT` when none listened yet.
 */
export async function connectToRunner(
  directory: string,
  name: string = CONTROL_SOCKET,
): Promise<Socket> {
  // A Unix socket's path is 107 bytes at most (unix(7)); the folder's descriptor makes it short.
  const folder = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const path = join('/proc/self/fd', String(folder), name);
    // A job could have put a symlink to another program's socket there.
    if (!lstatSync(path).isSocket()) throw new Error('no runner listens there');
    const socket = connect({ path });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.removeAllListeners('error');
    return socket;
  } finally {
    closeSync(folder);
  }
}
