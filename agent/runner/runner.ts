import { readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  SPEC_FILE,
  type RunnerCommand,
  type RunnerEvent,
  type StartMessage,
} from '../jobs/control-messages.ts';
import { readGoingDown } from '../jobs/going-down.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import { Pipes } from '../process/pipe.ts';
import { ControlServer } from './control-server.ts';
import { JobRun } from './job-run.ts';
import type { LoadImplementation } from './perform.ts';
import { rehearse } from './rehearsal.ts';

/** A runner that has not been started by then was started ahead, and has time to warm up. */
const REHEARSE_AFTER_MS = 200;
const FAIL_WITHIN_MS = 2_000;
/** As long as systemd takes from its signal to the end of the agent, and more. */
const TERMINATED_MS = 10_000;

/**
 * The runner: carries out one job in its working directory, then ends the process. It does nothing before
 * `start` comes over its control socket, and leaves when no agent has been there for `startWithinMs`. Once
 * started it depends on nobody.
 */
export class Runner {
  private readonly load: LoadImplementation;
  private readonly startWithinMs: number;
  private readonly running = Promise.withResolvers<JobRun>();
  private readonly control: ControlServer;
  /** The folder above is the sandbox's own, in memory. */
  private readonly pipes = new Pipes('..');
  private isStarting = false;
  private run: JobRun | null = null;
  private leaving: NodeJS.Timeout | null = null;
  private isAttended = false;
  /** Until when the end of the agent means that the system goes down. */
  private terminatedUntil = 0;
  private rehearsing: Promise<void> = Promise.resolve();

  constructor(load: LoadImplementation, startWithinMs: number) {
    this.load = load;
    this.startWithinMs = startWithinMs;
    this.control = new ControlServer({
      onCommand: (command, answer) => this.obey(command, answer),
      onAttended: (isAttended) => this.attended(isAttended),
    });
  }

  async listen(): Promise<void> {
    const onCrash = (error: unknown) => this.crash(error);
    process.on('uncaughtException', onCrash);
    process.on('unhandledRejection', onCrash);
    process.on('SIGTERM', () => this.terminate());
    this.attended(false);
    await this.pipes.prepare().catch(() => undefined);
    await this.control.listen();
    const warmUp = () => {
      if (!this.isStarting) this.rehearsing = rehearse(this.pipes, () => this.isStarting);
    };
    setTimeout(warmUp, REHEARSE_AFTER_MS).unref();
  }

  private attended(isAttended: boolean): void {
    this.isAttended = isAttended;
    if (!isAttended && Date.now() < this.terminatedUntil) this.shutDown();
    if (this.leaving !== null) clearTimeout(this.leaving);
    this.leaving = null;
    if (this.isStarting) void this.running.promise.then((run) => run.attended(isAttended));
    else if (!isAttended) this.leaving = setTimeout(() => process.exit(0), this.startWithinMs);
  }

  private obey(command: RunnerCommand, answer: (event: RunnerEvent) => void): void {
    if (command.type === 'start') {
      if (this.isStarting) answer({ type: 'refused', why: 'already_started' });
      else void this.start(command);
      return;
    }
    if (!this.isStarting) {
      if (command.type !== 'connection') process.exit(0);
      return;
    }
    void this.running.promise.then((run) => {
      if (command.type === 'connection') run.connected(command.connected);
      if (command.type !== 'stop') return;
      const { mode, why } = command;
      answer({ type: 'stopping', mode, bound: run.stop('cancelled', mode, why) });
    });
  }

  private async start(message: StartMessage): Promise<void> {
    this.isStarting = true;
    await this.rehearsing;
    const spec = JSON.parse(readFileSync(SPEC_FILE, 'utf8')) as JobSpec;
    const directory = ownDirectory(spec.job);
    const { load, pipes, control: observer } = this;
    this.run = new JobRun({ spec, message, directory, observer, pipes, load });
    this.running.resolve(this.run);
    await this.run.carryOut();
    await this.leave();
  }

  /**
   * Who sent it is not told (signal(7)): a system that goes down has ended the agent before, or does now. While
   * one is attached it was a program of the job, which ends neither its runner nor itself by that.
   */
  private terminate(): void {
    if (!this.isStarting || !this.isAttended) this.shutDown();
    else this.terminatedUntil = Date.now() + TERMINATED_MS;
  }

  /**
   * The system goes down, and waits for whoever does not: process 1 of a namespace is ended by no signal that it
   * does not listen to. Steps that must reach their end do, or are put back, as for every order to stop.
   */
  private shutDown(): void {
    // The end of this job is written after the boot.
    if (readGoingDown(process.cwd()) !== null) process.exit(0);
    if (this.isStarting)
      void this.running.promise.then((run) => run.stop('cancelled', 'now', 'shutdown'));
    else process.exit(0);
  }

  private async leave(): Promise<void> {
    await this.control.close();
    process.exit(0);
  }

  /** A defect of the runner itself: the job must not look as if it went on. */
  private crash(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${text}\n`);
    if (this.run === null) process.exit(70);
    const failed = Promise.race([this.run.fail(), sleep(FAIL_WITHIN_MS)]);
    void failed.then(() => this.leave()).catch(() => process.exit(70));
  }
}

/**
 * The job's folder by its name. A runner that was started ahead lives in a folder that has been renamed
 * since, outside; in here the folder above is the runner's own, so the name can be added.
 */
function ownDirectory(job: string): string {
  const current = process.cwd();
  const named = join(dirname(current), job);
  if (current !== named) symlinkSync(current, named);
  return named;
}
