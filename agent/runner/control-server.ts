import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlChannel } from '../jobs/control-channel.ts';
import {
  CONTROL_SOCKET,
  type RunnerCommand,
  type RunnerEvent,
  type RunnerPosition,
} from '../jobs/control-messages.ts';
import type { JobProgress } from '../jobs/job.ts';
import { Pace } from './pace.ts';

const GREW_EACH_MS = 2;
const PROGRESS_EACH_MS = 100;
/** How long the last words may take before the runner leaves all the same. */
const CLOSE_WITHIN_MS = 100;

type Channel = ControlChannel<RunnerCommand, RunnerEvent>;

export interface ControlListener {
  onCommand(command: RunnerCommand, answer: (event: RunnerEvent) => void): void;
  /** Called when the last agent has gone, and when the first is there. */
  onAttended(isAttended: boolean): void;
}

/**
 * The runner's side of the control socket. Agents come and go; what they are told repeats a state that
 * lies on disk, so a message that is not sent because an agent is slow or gone loses nothing.
 */
export class ControlServer {
  private readonly server: Server;
  private readonly channels = new Set<Channel>();
  private readonly listener: ControlListener;
  private position: () => RunnerPosition = () => ({ started: false, logLength: 0, records: 0 });
  private latest: JobProgress | null = null;
  private readonly grewPace = new Pace(GREW_EACH_MS, () => this.tellGrew());
  private readonly progressPace = new Pace(PROGRESS_EACH_MS, () => this.tellProgress());

  constructor(listener: ControlListener) {
    this.listener = listener;
    this.server = createServer((socket) => this.accept(socket));
  }

  /** Listens in the current directory; the socket is its owner's alone. */
  async listen(): Promise<void> {
    rmSync(CONTROL_SOCKET, { force: true });
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.server.once('error', reject);
        this.server.listen(CONTROL_SOCKET, resolve);
      });
    } finally {
      process.umask(umask);
    }
    // An agent that could not be accepted comes again; the job does not end for it.
    this.server.on('error', () => undefined);
  }

  /** Where log and journal stand, asked each time that an agent is told. */
  follow(position: () => RunnerPosition): void {
    this.position = position;
  }

  grew(): void {
    this.grewPace.touch();
  }

  progress(progress: JobProgress): void {
    this.latest = progress;
    this.progressPace.touch();
  }

  /** Says where everything ended, and lets go of the agents. */
  async close(): Promise<void> {
    this.grewPace.stop();
    this.progressPace.stop();
    this.server.close();
    for (const channel of this.channels) {
      channel.send({ type: 'grew', ...this.position() });
      channel.end();
    }
    const until = Date.now() + CLOSE_WITHIN_MS;
    while (this.channels.size > 0 && Date.now() < until) await sleep(1);
  }

  private accept(socket: Socket): void {
    const channel: Channel = new ControlChannel(
      socket,
      (command) => this.listener.onCommand(command, (event) => channel.send(event)),
      () => {
        this.channels.delete(channel);
        if (this.channels.size === 0) this.listener.onAttended(false);
      },
    );
    this.channels.add(channel);
    if (this.channels.size === 1) this.listener.onAttended(true);
    channel.send({ type: 'hello', progress: this.latest, ...this.position() });
  }

  private tellGrew(): void {
    this.tell({ type: 'grew', ...this.position() }, this.grewPace);
  }

  private tellProgress(): void {
    if (this.latest !== null) this.tell({ type: 'progress', ...this.latest }, this.progressPace);
  }

  /** An agent that does not keep up is told again, with the state of then, when it has read. */
  private tell(event: RunnerEvent, pace: Pace): void {
    for (const channel of this.channels) {
      if (channel.isCongested) channel.onDrain(() => pace.touch());
      else channel.send(event);
    }
  }
}
