import { describe, expect, it } from 'vitest';
import { joinPipes } from './frame-pipe.ts';
import type { FramePipe, PassedFrames } from './frame-pipe.ts';

/** One side that takes so many frames before it has had enough. */
class Side implements FramePipe {
  room = Infinity;
  isPaused = false;
  isClosed = false;
  readonly got: string[] = [];
  private listener: (frame: Uint8Array) => void = () => undefined;
  private roomListener: () => void = () => undefined;
  private closedListener: () => void = () => undefined;

  send(frame: Uint8Array): boolean {
    this.got.push(Buffer.from(frame).toString());
    return this.got.length < this.room;
  }
  onFrame(listener: (frame: Uint8Array) => void): void {
    this.listener = listener;
  }
  onRoom(listener: () => void): void {
    this.roomListener = listener;
  }
  onClosed(listener: () => void): void {
    this.closedListener = listener;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  close(): void {
    this.isClosed = true;
  }

  /** As long as it may. */
  say(...frames: string[]): void {
    for (const frame of frames) if (!this.isPaused) this.listener(Buffer.from(frame));
  }
  hasRoom(): void {
    this.room = Infinity;
    this.roomListener();
  }
  leave(): void {
    this.closedListener();
  }
}

function join(): { engineer: Side; agent: Side; ends: PassedFrames[] } {
  const [engineer, agent] = [new Side(), new Side()];
  const ends: PassedFrames[] = [];
  joinPipes(engineer, agent, (passed) => ends.push(passed));
  return { engineer, agent, ends };
}

describe('two sides of a terminal', () => {
  it('get what the other one says, in its order', () => {
    const { engineer, agent } = join();
    engineer.say('a', 'b');
    agent.say('c');
    expect([agent.got, engineer.got]).toEqual([['a', 'b'], ['c']]);
  });

  it.each(['engineer', 'agent'] as const)('stop the other side while the %s is slow', (name) => {
    const sides = join();
    const slow = sides[name];
    const quick = name === 'engineer' ? sides.agent : sides.engineer;
    slow.room = 2;
    quick.say('1', '2', '3', '4');
    expect([slow.got, quick.isPaused]).toEqual([['1', '2'], true]);
    slow.hasRoom();
    quick.say('3', '4');
    expect(slow.got).toEqual(['1', '2', '3', '4']);
  });

  it.each(['engineer', 'agent'] as const)('are both let go when the %s is gone, once', (name) => {
    const sides = join();
    sides.engineer.say('abc');
    sides.agent.say('d', 'ef');
    sides[name].leave();
    sides.engineer.leave();
    sides.agent.leave();
    expect([sides.engineer.isClosed, sides.agent.isClosed]).toEqual([true, true]);
    expect(sides.ends).toEqual([{ upFrames: 1, upBytes: 3, downFrames: 2, downBytes: 3 }]);
  });
});
