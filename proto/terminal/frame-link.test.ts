import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import fc from 'fast-check';
import { FrameError } from './frame.ts';
import { FrameLink, linkWindow } from './frame-link.ts';
import type { DataMessage } from './messages.ts';
import { splitSessionKeys } from './session-keys.ts';

const JOB = '0191f3a2-7b1c-7def-8abc-0123456789ab';
const keys = splitSessionKeys(Buffer.alloc(64, 7));
const size = { rows: 24, columns: 80 };

/** Both sides, and a courier between them that delivers when it is told to. */
class Pair {
  readonly engineer = new FrameLink('engineer', keys, JOB);
  readonly agent = new FrameLink('agent', keys, JOB);
  toAgent: Buffer[] = [];
  toEngineer: Buffer[] = [];
  typed = '';
  shown = '';
  private isFirst = true;

  /** A new connection; what was on its way on the former one is lost. */
  connect(): void {
    this.toAgent = [];
    this.toEngineer = [];
    this.isFirst = true;
    const [up, down] = [this.toAgent, this.toEngineer];
    this.answer = (frame) => void down.push(frame);
    this.engineer.begin(size, (frame) => void up.push(frame));
  }

  private answer: (frame: Buffer) => void = () => undefined;

  /** Delivers at most so many frames each way. */
  deliver(most = Infinity): void {
    for (let count = 0; count < most && this.toAgent.length > 0; count++) {
      this.giveAgent(this.toAgent.shift()!);
    }
    for (let count = 0; count < most && this.toEngineer.length > 0; count++) {
      this.giveEngineer(this.toEngineer.shift()!);
    }
  }

  settle(): void {
    while (this.toAgent.length + this.toEngineer.length > 0) this.deliver();
  }

  giveAgent(frame: Buffer): void {
    if (this.isFirst) {
      this.isFirst = false;
      this.agent.accept(frame, this.answer);
      return;
    }
    const message = this.agent.receive(frame);
    if (message?.type === 'bytes') this.typed += message.bytes.toString();
  }

  giveEngineer(frame: Buffer): void {
    const message = this.engineer.receive(frame);
    if (message?.type === 'bytes') this.shown += message.bytes.toString();
  }
}

const bytes = (text: string): DataMessage => ({ type: 'bytes', bytes: Buffer.from(text) });
const faultOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof FrameError) return error.fault;
    throw error;
  }
  return 'none';
};

let pair: Pair;
beforeEach(() => {
  vi.useFakeTimers();
  pair = new Pair();
});
afterEach(() => {
  pair.engineer.detach();
  pair.agent.detach();
  vi.useRealTimers();
});

describe('two sides of a session', () => {
  it('pass on what is typed and shown, and let go of what was acknowledged', () => {
    pair.connect();
    pair.settle();
    pair.engineer.send(bytes('ls\r'));
    pair.agent.send(bytes('a b c'));
    pair.settle();
    expect([pair.typed, pair.shown]).toEqual(['ls\r', 'a b c']);
    expect(pair.engineer.bytesKept).toBeGreaterThan(0);
    for (let round = 0; round < 4; round++) {
      vi.advanceTimersByTime(6_000);
      pair.settle();
    }
    // Only the last acknowledgement itself is still kept.
    expect(pair.engineer.bytesKept).toBeLessThan(100);
    expect(pair.agent.bytesKept).toBeLessThan(100);
  });

  it('say something every few seconds when nobody types', () => {
    pair.connect();
    pair.engineer.send({ type: 'resize', size });
    pair.settle();
    for (let round = 0; round < 5; round++) {
      vi.advanceTimersByTime(10_200);
      expect(pair.toAgent.length + pair.toEngineer.length).toBeGreaterThan(0);
      pair.settle();
    }
  });

  it('lose, double and reorder nothing, wherever connections are cut', () => {
    const action = fc.oneof(
      fc.record({ type: fc.constant('type' as const), text: fc.string({ maxLength: 8 }) }),
      fc.record({ type: fc.constant('show' as const), text: fc.string({ maxLength: 8 }) }),
      fc.record({ type: fc.constant('deliver' as const), most: fc.nat({ max: 5 }) }),
      fc.record({ type: fc.constant('cut' as const) }),
      fc.record({ type: fc.constant('wait' as const), ms: fc.nat({ max: 6_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const own = new Pair();
        let [typed, shown] = ['', ''];
        own.connect();
        for (const step of actions) {
          if (step.type === 'type') {
            typed += Buffer.from(step.text).toString();
            own.engineer.send(bytes(step.text));
          } else if (step.type === 'show') {
            shown += Buffer.from(step.text).toString();
            own.agent.send(bytes(step.text));
          } else if (step.type === 'deliver') own.deliver(step.most);
          else if (step.type === 'cut') own.connect();
          else vi.advanceTimersByTime(step.ms);
        }
        own.connect();
        own.settle();
        expect([own.typed, own.shown]).toEqual([typed, shown]);
        own.engineer.detach();
        own.agent.detach();
      }),
      { numRuns: 300 },
    );
  });

  it('keep what was shown while nobody was attached, and say when to pause', () => {
    let rooms = 0;
    const agent = new FrameLink('agent', keys, JOB, () => rooms++);
    while (!agent.isFull) agent.send({ type: 'bytes', bytes: Buffer.alloc(16_000) });
    expect(agent.bytesKept).toBeLessThan(linkWindow.agent + 17_000);
    const engineer = new FrameLink('engineer', keys, JOB);
    const up: Buffer[] = [];
    const down: Buffer[] = [];
    engineer.begin(size, (frame) => void up.push(frame));
    agent.accept(up.shift()!, (frame) => void down.push(frame));
    let shown = 0;
    for (const frame of down.splice(0)) {
      const message = engineer.receive(frame);
      if (message?.type === 'bytes') shown += message.bytes.length;
    }
    expect(shown).toBeGreaterThanOrEqual(linkWindow.agent - 20_000);
    vi.advanceTimersByTime(200);
    for (const frame of up) agent.receive(frame);
    expect([agent.isFull, rooms]).toEqual([false, 1]);
    engineer.detach();
    agent.detach();
  });
});

describe('somebody between the two sides', () => {
  /** Frames that the engineer sent: the attachment, and `one`, `two`, `three`. */
  const sent = (): Buffer[] => {
    pair.connect();
    pair.settle();
    for (const text of ['one', 'two', 'three']) pair.engineer.send(bytes(text));
    return pair.toAgent.splice(0);
  };

  it('who plays a frame again ends the session, and types nothing', () => {
    const [one] = sent();
    pair.giveAgent(one!);
    expect(faultOf(() => pair.giveAgent(one!))).toBe('frame_replayed');
    expect(pair.typed).toBe('one');
  });

  it('who leaves a frame out ends the session', () => {
    const [, two] = sent();
    expect(faultOf(() => pair.giveAgent(two!))).toBe('frame_missing');
    expect(pair.typed).toBe('');
  });

  it('who changes a frame ends the session', () => {
    const [one] = sent();
    one![12]! ^= 1;
    expect(faultOf(() => pair.giveAgent(one!))).toBe('frame_forged');
    expect(pair.typed).toBe('');
  });

  it('who sends back what the agent said ends the session', () => {
    sent();
    pair.agent.send(bytes('shown'));
    expect(faultOf(() => pair.giveAgent(pair.toEngineer[0]!))).toBe('frame_forged');
    expect(pair.typed).toBe('');
  });

  it('cannot make anything of any order of real frames but a prefix of what was typed', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 4 }), { maxLength: 12 }), (order) => {
        pair = new Pair();
        const frames = sent();
        pair.engineer.send({ type: 'resize', size });
        frames.push(...pair.toAgent.splice(0));
        const give = () => {
          for (const index of order) pair.giveAgent(frames[index % frames.length]!);
        };
        faultOf(give);
        expect(['', 'one', 'onetwo', 'onetwothree']).toContain(pair.typed);
        pair.engineer.detach();
        pair.agent.detach();
      }),
    );
  });

  it('who plays an old attachment again is let go, and the session goes on', () => {
    pair.connect();
    const [first] = pair.toAgent;
    pair.settle();
    pair.connect();
    pair.settle();
    expect(pair.agent.accept(first!, () => expect.unreachable())).toBeNull();
    pair.engineer.send(bytes('still here'));
    pair.settle();
    expect(pair.typed).toBe('still here');
  });

  it('who answers an attachment with an older answer ends the session', () => {
    pair.connect();
    pair.deliver(1);
    const answers: Buffer[] = [];
    const agent = new FrameLink('agent', keys, JOB);
    const engineer = new FrameLink('engineer', keys, JOB);
    const up: Buffer[] = [];
    engineer.begin(size, (frame) => void up.push(frame));
    agent.accept(up.shift()!, (frame) => void answers.push(frame));
    engineer.begin(size, (frame) => void up.push(frame));
    expect(faultOf(() => engineer.receive(answers[0]!))).toBe('frame_replayed');
  });

  it('who begins with data, or attaches with nothing of the engineer, ends the session', () => {
    const agent = new FrameLink('agent', keys, JOB);
    const nobody = () => expect.unreachable();
    const [one] = sent();
    expect(faultOf(() => agent.accept(one!, nobody))).toBe('frame_unexpected');
    const forged = Buffer.concat([Buffer.of(1), Buffer.alloc(60, 0)]);
    expect(faultOf(() => agent.accept(forged, nobody))).toBe('frame_forged');
    expect(faultOf(() => agent.receive(one!))).toBe('frame_unexpected');
  });

  it('who had a key could still not say what only the other side says', () => {
    pair.connect();
    pair.settle();
    pair.engineer.send({ type: 'ended', exitStatus: 0, reason: 'x' });
    expect(faultOf(() => pair.settle())).toBe('frame_unexpected');
  });
});
