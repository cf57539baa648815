/**
 * One side of a terminal's connection, as the relay sees it: a gRPC stream of an agent, a WebSocket of an
 * engineer. Frames are opaque.
 */
export interface FramePipe {
  /** False when the other end does not keep up; `onRoom` says when it does. */
  send(frame: Uint8Array): boolean;
  onFrame(listener: (frame: Uint8Array) => void): void;
  onRoom(listener: () => void): void;
  onClosed(listener: () => void): void;
  /** Gives no more frames until `resume`. */
  pause(): void;
  resume(): void;
  close(): void;
}

/** What passed between the two sides; nothing of it is kept. */
export interface PassedFrames {
  upFrames: number;
  upBytes: number;
  downFrames: number;
  downBytes: number;
}

/**
 * Passes frames between the engineer and the agent until one of them is gone, and then lets the other one
 * go. A side that does not keep up stops the other one, so that no more than a few frames wait here.
 */
export function joinPipes(
  engineer: FramePipe,
  agent: FramePipe,
  onEnded: (passed: PassedFrames) => void,
): void {
  const passed: PassedFrames = { upFrames: 0, upBytes: 0, downFrames: 0, downBytes: 0 };
  let isOver = false;
  const end = () => {
    if (isOver) return;
    isOver = true;
    engineer.close();
    agent.close();
    onEnded(passed);
  };
  pass(engineer, agent, (bytes) => {
    passed.upFrames++;
    passed.upBytes += bytes;
  });
  pass(agent, engineer, (bytes) => {
    passed.downFrames++;
    passed.downBytes += bytes;
  });
  engineer.onClosed(end);
  agent.onClosed(end);
}

function pass(from: FramePipe, to: FramePipe, count: (bytes: number) => void): void {
  to.onRoom(() => from.resume());
  from.onFrame((frame) => {
    count(frame.byteLength);
    if (!to.send(frame)) from.pause();
  });
}
