import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isGuarded } from '../guard/guarded-spec.ts';
import { settleGuard } from '../guard/settle-guard.ts';
import { buryJob } from './bury.ts';
import { connectToRunner, ControlChannel } from './control-channel.ts';
import type { RunnerCommand, RunnerEvent, StopMode } from './control-messages.ts';
import type { Job, JobProgress, JobsLog } from './job.ts';
import { readPlan, readSpec } from './job-folder.ts';
import { JournalReader } from './journal-reader.ts';
import type { EndedRecord, JournalRecord } from './journal-record.ts';
import { isRunnerAlive, killRunner } from './runner-process.ts';
import { readSpool } from './spool-reader.ts';

export type RunnerChannel = ControlChannel<RunnerEvent, RunnerCommand>;

/** When the runner has not ended a job that it should end now. */
const CANCEL_WITHIN_MS = 5_000;
const LOOK_AGAIN_MAX_MS = 500;

/** Thrown when a job could not be started; it has ended `interrupted`, `not_started`. */
export class JobStartError extends Error {
  override name = 'JobStartError';
}

/**
 * The agent's view of one job: what lies in its folder, kept up to date by what the runner says over its
 * control socket. The runner may outlive this object and the other way round.
 */
export class HeldJob implements Job {
  readonly id: string;
  readonly directory: string;
  progress: JobProgress | null = null;
  private journal: JournalReader;
  private readonly listeners = new Set<() => void>();
  private readonly startedOrEnded = Promise.withResolvers<void>();
  private readonly end = Promise.withResolvers<EndedRecord>();
  private channel: RunnerChannel | null = null;
  private length = 0;
  private ending: EndedRecord | null = null;
  private stopWanted: Extract<RunnerCommand, { type: 'stop' }> | null = null;
  /** Of orders to stop that wait for the runner to say that it goes on to the end of its step. */
  private goesOn: (() => void)[] = [];
  private recovering: Promise<void> | null = null;
  private isConnected: boolean | null = null;
  private deathReason = 'runner_died';
  private deathNote: string | null = null;
  private isDoomed = false;
  private isClosed = false;
  private hasWarned = false;

  private readonly log: JobsLog;

  constructor(id: string, directory: string, log: JobsLog) {
    this.id = id;
    this.directory = directory;
    this.log = log;
    this.journal = new JournalReader(directory);
  }

  get ended(): EndedRecord | null {
    return this.ending;
  }

  get logLength(): number {
    return this.length;
  }

  get isStarted(): boolean {
    return this.journal.records.some((record) => record.type === 'started');
  }

  /** Whether it must not be started any more. */
  get isKilled(): boolean {
    return this.isDoomed || this.ending !== null;
  }

  records(from: number): JournalRecord[] {
    return this.journal.records.slice(from);
  }

  async readLog(offset: number, maxBytes: number): Promise<Buffer> {
    return readSpool(this.directory, offset, this.length, maxBytes);
  }

  readPlan(): Promise<Buffer | null> {
    return readPlan(this.directory);
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Resolves when the runner has taken the order: with `now`, when the job has ended or is known to go on
   * to the end of its step. A runner that does not obey within 5 s is killed.
   */
  async cancel(mode: StopMode, why: string): Promise<void> {
    if (this.ending !== null) return;
    const stop: RunnerCommand = { type: 'stop', mode, why };
    if (this.stopWanted?.mode !== 'now') this.stopWanted = stop;
    this.channel?.send(stop);
    if (mode === 'after_step') return;
    const timer = new AbortController();
    const tooLong = sleep(CANCEL_WITHIN_MS, true, { signal: timer.signal }).catch(() => false);
    const goesOn = new Promise<void>((resolve) => this.goesOn.push(resolve));
    const isEnough = Promise.race([this.end.promise, goesOn]).then(() => false);
    const mustKill = await Promise.race([isEnough, tooLong]);
    timer.abort();
    const note = `It did not obey an order to stop (${why}), and was killed.`;
    if (mustKill && !this.isClosed) await this.kill('killed', note);
  }

  /**
   * Kills the runner and all it started, and resolves when the job's end is written. The note goes into the
   * job's log.
   */
  async kill(why: string, note: string | null = null): Promise<void> {
    if (this.ending !== null) return;
    this.isDoomed = true;
    this.deathNote = note;
    this.deathReason = /^[a-z_]{1,64}$/.test(why) ? why : 'killed';
    await killRunner(this.directory);
    // Reaches a runner only when there is no pid to kill it by.
    this.channel?.send({ type: 'stop', mode: 'now', why: this.deathReason });
    if (this.channel === null) void this.recover();
    await this.end.promise;
  }

  /** Takes over a connection to the job's runner; `first` is what it is told before anything else. */
  attach(channel: RunnerChannel, first: RunnerCommand): void {
    this.channel = channel;
    channel.onMessage = (event) => this.take(event);
    channel.onClose = () => {
      this.channel = null;
      void this.recover();
    };
    channel.send(first);
    if (this.isConnected !== null) {
      channel.send({ type: 'connection', connected: this.isConnected });
    }
    if (this.stopWanted !== null) channel.send(this.stopWanted);
    if (!channel.isOpen) channel.onClose();
  }

  setConnected(connected: boolean): void {
    this.isConnected = connected;
    this.channel?.send({ type: 'connection', connected });
  }

  /** Resolves when the runner has journalled `started`. Throws JobStartError when it never will. */
  async whenStarted(): Promise<void> {
    await this.startedOrEnded.promise;
    if (!this.isStarted) throw new JobStartError('the job was not started');
  }

  /**
   * Finds out what became of the runner: connects to it while it lives, writes the end of the job when it
   * is dead. Resolves when one of them is done; a runner that lives and does not answer is waited for.
   */
  recover(): Promise<void> {
    this.recovering ??= this.lookForRunner().finally(() => {
      this.recovering = null;
    });
    return this.recovering;
  }

  /** Writes the end of a job whose runner is dead or never was. */
  async bury(): Promise<void> {
    const spec = await readSpec(this.directory);
    if (spec !== null && isGuarded(spec)) await settleGuard(this.directory);
    const ended = await buryJob(this.directory, this.id, this.deathReason, this.deathNote);
    this.journal = new JournalReader(this.directory);
    this.refresh();
    this.finish(ended);
  }

  /** Takes in what is on disk. */
  refresh(): void {
    this.readJournal();
    if (this.isStarted) this.startedOrEnded.resolve();
    if (this.journal.ended !== null) this.finish(this.journal.ended);
  }

  /** Lets go of the runner without stopping it. */
  close(): void {
    this.isClosed = true;
    this.channel?.destroy();
    this.listeners.clear();
  }

  private async lookForRunner(): Promise<void> {
    for (let waitMs = 5; !this.isClosed; waitMs = Math.min(waitMs * 2, LOOK_AGAIN_MAX_MS)) {
      // Asked before the journal is read: a runner that was dead by then has written its last record.
      const wasAlive = isRunnerAlive(this.directory);
      this.refresh();
      if (this.ending !== null || this.channel !== null) return;
      const socket = await connectToRunner(this.directory).catch(() => null);
      if (socket !== null && (await this.greet(socket))) return;
      if (!wasAlive && (await this.tryToBury())) return;
      await sleep(waitMs);
    }
  }

  /** Attaches and waits for the runner to say where it is; false when it ended instead. */
  private async greet(socket: Socket): Promise<boolean> {
    const channel: RunnerChannel = new ControlChannel(socket, ignore, ignore);
    const answer = Promise.withResolvers<boolean>();
    this.attach(channel, { type: 'leave_unless_started' });
    if (!channel.isOpen) return false;
    const { onMessage, onClose } = channel;
    channel.onMessage = (event) => {
      onMessage(event);
      answer.resolve(true);
    };
    channel.onClose = () => {
      answer.resolve(false);
      onClose();
    };
    if (this.isClosed) channel.destroy();
    return answer.promise;
  }

  /** False when the disk does not take the end of the job; it is tried again. */
  private async tryToBury(): Promise<boolean> {
    try {
      await this.bury();
      return true;
    } catch (error) {
      this.warn(error, 'the end of a job cannot be written');
      return false;
    }
  }

  /** Once for each job: what does not heal would otherwise fill the log. */
  private warn(error: unknown, message: string): void {
    if (!this.hasWarned) this.log.warn({ job: this.id, err: error }, message);
    this.hasWarned = true;
  }

  private take(event: RunnerEvent): void {
    switch (event.type) {
      case 'hello':
      case 'grew':
        if (event.type === 'hello') this.progress = event.progress;
        this.length = Math.max(this.length, event.logLength);
        if (event.records > this.journal.records.length) this.refresh();
        this.changed();
        break;
      case 'progress':
        this.progress = { phase: event.phase, percent: event.percent, text: event.text };
        this.changed();
        break;
      case 'stopping':
        if (event.mode === 'now' && event.bound === 'step') {
          for (const goOn of this.goesOn.splice(0)) goOn();
        }
        break;
      case 'refused':
        break;
    }
  }

  private readJournal(): void {
    try {
      this.journal.refresh();
    } catch (error) {
      // Damage becomes the job's end when the runner is dead; anything else is tried again.
      this.warn(error, 'the journal of a job cannot be read');
    }
  }

  private finish(ended: EndedRecord): void {
    if (this.ending !== null) return;
    this.ending = ended;
    this.length = ended.log.bytes;
    this.startedOrEnded.resolve();
    this.end.resolve(ended);
    this.changed();
  }

  private readonly changed = () => {
    for (const listener of this.listeners) listener();
  };
}

function ignore(): void {
  // Replaced as soon as the channel has its owner.
}
