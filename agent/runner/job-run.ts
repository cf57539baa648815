import { setTimeout as sleep } from 'node:timers/promises';
import type { RunnerPosition, StartMessage, StopMode } from '../jobs/control-messages.ts';
import type { JobProgress } from '../jobs/job.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import { JournalUnwritableError, JournalWriter } from '../jobs/journal-writer.ts';
import { SpoolWriter } from '../jobs/spool-writer.ts';
import type { Pipes } from '../process/pipe.ts';
import { nowUs } from './clock.ts';
import { createContext } from './context.ts';
import { DisconnectWatch } from './disconnect-watch.ts';
import { endOf, type JobEnd } from './job-end.ts';
import { JobLog } from './job-log.ts';
import { namespacePrograms, signalNamespace } from './namespace.ts';
import { perform, type LoadImplementation } from './perform.ts';
import { StopControl, type StopCause } from './stop-control.ts';

const KILL_AGAIN_MS = 50;
const EMPTY_WITHIN_MS = 1_000;

/** Who is told how a job goes on; its own files are the truth. */
export interface JobObserver {
  follow(position: () => RunnerPosition): void;
  grew(): void;
  progress(progress: JobProgress): void;
}

export interface JobParts {
  spec: JobSpec;
  message: StartMessage;
  /** The job's folder, absolute. */
  directory: string;
  observer: JobObserver;
  pipes: Pipes;
  load: LoadImplementation;
}

/** One job from `started` to `ended`. */
export class JobRun {
  private readonly parts: JobParts;
  private readonly stopControl: StopControl;
  private readonly disconnect: DisconnectWatch | null;
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly forced = Promise.withResolvers<void>();
  private journal: JournalWriter | null = null;
  private spool: SpoolWriter | null = null;
  private log: JobLog | null = null;
  private isEnding = false;

  constructor(parts: JobParts) {
    this.parts = parts;
    const { message, spec } = parts;
    const { mode, onDisconnect } = spec;
    this.stopControl = new StopControl(mode === 'plan' ? 'now' : message.interrupt, () =>
      this.endWithinBound(),
    );
    const cutOff = () => void this.stop('cancelled', 'now', 'disconnected');
    this.disconnect =
      onDisconnect === 'stop' ? new DisconnectWatch(message.timings.disconnectedMs, cutOff) : null;
  }

  /** Rejects only for a defect, or a disk that takes neither journal nor log. */
  async carryOut(): Promise<void> {
    const { spec, message, observer } = this.parts;
    const journal = this.begin();
    observer.grew();
    const spool = this.openSpool();
    const log = new JobLog(spool, Object.values(message.sealedInputs));
    this.log = log;
    const limitMs = spec.maxRuntimeSeconds * 1000;
    this.timers.push(setTimeout(() => void this.stop('timed_out', 'now', 'time_limit'), limitMs));
    const context = await createContext({
      ...this.parts,
      journal,
      log,
      stopControl: this.stopControl,
      onProgress: (progress) => observer.progress(log.maskJson(progress)),
    });
    const forced = this.forced.promise.then((): null => null);
    const end = await Promise.race([
      perform(context, this.parts.load).then(
        (result) => endOf(result, null, this.stopControl.effective),
        (error: unknown) => endOf(null, error, this.stopControl.effective),
      ),
      forced,
    ]);
    const own = end ?? endOf(null, null, this.stopControl.effective);
    if (!this.stopControl.hasOverrun) return this.end(own);
    const { withOverrun } = await import('./step-overrun.ts');
    await this.end(withOverrun(own, spec, this.parts.directory));
  }

  /** Says whether the work ends now or at the end of its step. */
  stop(cause: StopCause, mode: StopMode, why: string): 'now' | 'step' {
    if (this.isEnding) return 'now';
    const at = Date.now();
    const bound = this.stopControl.stop({ cause, mode, why });
    try {
      this.journal?.append({ type: 'stop_requested', at, mode, why });
      this.parts.observer.grew();
    } catch (error) {
      // A disk that fails does not keep a job from being stopped.
      if (!(error instanceof JournalUnwritableError)) throw error;
    }
    return bound;
  }

  connected(isConnected: boolean): void {
    this.disconnect?.connected(isConnected);
  }

  attended(isAttended: boolean): void {
    if (!isAttended) this.disconnect?.connected(false);
  }

  /** Ends the job because the runner itself is broken. */
  async fail(): Promise<void> {
    if (this.isEnding) return;
    await this.end({
      outcome: 'failed',
      reason: 'runner_error',
      exitStatus: null,
      result: null,
      note: 'The runner failed; what the job had started was ended.',
    });
  }

  private begin(): JournalWriter {
    const journal = JournalWriter.open(this.parts.directory);
    journal.append({ type: 'started', at: Date.now() });
    this.journal = journal;
    this.parts.observer.follow(() => ({
      started: true,
      logLength: this.spool?.length ?? 0,
      records: journal.records,
    }));
    return journal;
  }

  private openSpool(): SpoolWriter {
    const onGrew = () => this.parts.observer.grew();
    const { directory, spec } = this.parts;
    const capBytes = spec.spoolCapBytes;
    this.spool = SpoolWriter.open({ directory, capBytes, nowUs, onGrew });
    return this.spool;
  }

  private endWithinBound(): void {
    const { termGraceMs, stopWithinMs } = this.parts.message.timings;
    signalNamespace('SIGTERM');
    this.timers.push(
      setTimeout(() => {
        signalNamespace('SIGKILL');
        // Again and again: what was just being forked is not reached by the first one.
        this.timers.push(setInterval(() => signalNamespace('SIGKILL'), KILL_AGAIN_MS));
      }, termGraceMs),
      setTimeout(() => this.forced.resolve(), stopWithinMs),
    );
  }

  private async end(end: JobEnd): Promise<void> {
    this.isEnding = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.stopControl.close();
    this.disconnect?.stop();
    if (end.note !== null) this.log?.note(end.note);
    await this.emptyNamespace();
    const log = await this.spool!.finish();
    const { outcome, reason, exitStatus } = end;
    const result = this.log!.maskJson(end.result);
    const at = Date.now();
    this.journal!.append({ type: 'ended', at, outcome, reason, exitStatus, result, log });
  }

  /** Nothing of the job runs any more when it is reported as ended. */
  private async emptyNamespace(): Promise<void> {
    let left = namespacePrograms();
    if (left.length === 0) return;
    if (this.stopControl.effective === null) {
      this.log?.note(
        `Still running in the background, ended now: ${[...new Set(left)].join(', ')}`,
      );
    }
    const until = Date.now() + EMPTY_WITHIN_MS;
    while (left.length > 0 && Date.now() < until) {
      signalNamespace('SIGKILL');
      await sleep(1);
      left = namespacePrograms();
    }
  }
}
