import type { WebSocket } from 'ws';
import type { FramePipe } from '../terminals/frame-pipe.ts';

/** Unsent bytes after which the other side has to wait. */
const UNSENT_MAX = 256 * 1024;
const LOOK_MS = 10;
/** A person's program that does not answer this often is gone. */
const PING_MS = 10_000;

/** A WebSocket as one side of a terminal. Anything but binary messages closes it. */
export function socketPipe(socket: WebSocket): FramePipe {
  let onRoom = () => {};
  let looking: NodeJS.Timeout | undefined;
  let isAlive = true;
  const ping = setInterval(() => {
    if (!isAlive) socket.terminate();
    isAlive = false;
    socket.ping();
  }, PING_MS);
  socket.on('pong', () => {
    isAlive = true;
  });
  socket.on('error', () => socket.terminate());
  socket.once('close', () => {
    clearInterval(ping);
    clearInterval(looking);
  });
  const lookForRoom = () => {
    if (socket.bufferedAmount >= UNSENT_MAX / 2) return;
    clearInterval(looking);
    looking = undefined;
    onRoom();
  };
  return {
    send: (frame) => {
      if (socket.readyState !== socket.OPEN) return true;
      socket.send(frame, { binary: true });
      if (socket.bufferedAmount < UNSENT_MAX) return true;
      looking ??= setInterval(lookForRoom, LOOK_MS);
      return false;
    },
    onFrame: (listener) => {
      socket.on('message', (data, isBinary) => {
        isAlive = true;
        if (isBinary && Buffer.isBuffer(data)) listener(data);
        else socket.close(1003, 'frames only');
      });
    },
    onRoom: (listener) => {
      onRoom = listener;
    },
    onClosed: (listener) => {
      socket.once('close', listener);
      if (socket.readyState === socket.CLOSED) listener();
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: () => socket.close(1000),
  };
}
