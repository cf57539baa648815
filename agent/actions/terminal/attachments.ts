import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { encodeLengthAndFrame, FrameReader, TERMINAL_SOCKET } from '../../jobs/terminal-socket.ts';

/** Connections that have said nothing yet, and the one in use. */
const CONNECTIONS_MAX = 4;
/** How long a connection may take to say what it is. */
const FIRST_FRAME_MS = 5_000;

/** One connection of the engineer's program, as far as this side sees: frames in, frames out. */
export interface Attachment {
  send(frame: Buffer): void;
  /** Reads no more until `resume`. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
}

export interface AttachmentListener {
  /** Throws to have the connection closed. The first one is on `isFirst`. */
  onFrame(attachment: Attachment, frame: Buffer, isFirst: boolean): void;
  onClosed(attachment: Attachment): void;
}

/** Takes the connections that the agent makes for the engineer, one after the other. */
export class Attachments {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly listener: AttachmentListener;

  constructor(listener: AttachmentListener) {
    this.listener = listener;
    this.server = createServer((socket) => this.accept(socket));
    this.server.maxConnections = CONNECTIONS_MAX;
  }

  /** Listens in the current directory; the socket is its owner's alone. */
  async listen(): Promise<void> {
    rmSync(TERMINAL_SOCKET, { force: true });
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.server.once('error', reject);
        this.server.listen(TERMINAL_SOCKET, resolve);
      });
    } finally {
      process.umask(umask);
    }
    this.server.on('error', () => undefined);
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    rmSync(TERMINAL_SOCKET, { force: true });
  }

  private accept(socket: Socket): void {
    const reader = new FrameReader();
    const attachment: Attachment = {
      send: (frame) => {
        if (socket.writable) socket.write(encodeLengthAndFrame(frame));
      },
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      end: () => void socket.end(),
    };
    let isFirst = true;
    const tooLate = setTimeout(() => socket.destroy(), FIRST_FRAME_MS);
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(tooLate);
      this.sockets.delete(socket);
      this.listener.onClosed(attachment);
    });
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const frame of reader.push(bytes)) {
          clearTimeout(tooLate);
          const first = isFirst;
          isFirst = false;
          this.listener.onFrame(attachment, frame, first);
        }
      } catch {
        socket.destroy();
      }
    });
  }
}
