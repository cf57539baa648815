import { readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SPEC_FILE, type StartMessage, type StopMode } from '../jobs/control-messages.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import { JournalUnwritableError, JournalWriter } from '../jobs/journal-writer.ts';
import { maskedStrings } from '../jobs/masking.ts';
import { SpoolWriter } from '../jobs/spool-writer.ts';
import type { Pipes } from '../process/pipe.ts';
import { nowUs } from './clock.ts';
import { createContext } from './context.ts';
import type { ControlServer } from './control-server.ts';
import { DisconnectWatch } from './disconnect-watch.ts';
import { endOf, type JobEnd } from './job-end.ts';
import { JobLog } from './job-log.ts';
import { namespacePrograms, signalNamespace } from './namespace.ts';
import { perform } from './perform.ts';
import { StopControl, type StopCause } from './stop-control.ts';

const KILL_AGAIN_MS = 50;
const EMPTY_WITHIN_MS = 1_000;

/** One job from `started` to `ended`. */
export class JobRun {
  private readonly message: StartMessage;
  private readonly control: ControlServer;
  private readonly pipes: Pipes;
  private readonly spec: JobSpec;
  private readonly stopControl: StopControl;
  private readonly disconnect: DisconnectWatch | null;
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly forced = Promise.withResolvers<void>();
  private journal: JournalWriter | null = null;
  private spool: SpoolWriter | null = null;
  private log: JobLog | null = null;
  private isEnding = false;

  constructor(message: StartMessage, control: ControlServer, pipes: Pipes) {
    this.message = message;
    this.control = control;
    this.pipes = pipes;
    this.spec = JSON.parse(readFileSync(SPEC_FILE, 'utf8')) as JobSpec;
    const { mode, onDisconnect } = this.spec;
    this.stopControl = new StopControl(mode === 'plan' ? 'now' : message.interrupt, () =>
      this.endWithinBound(),
    );
    const cutOff = () => void this.stop('cancelled', 'now', 'disconnected');
    this.disconnect =
      onDisconnect === 'stop' ? new DisconnectWatch(message.timings.disconnectedMs, cutOff) : null;
  }

  /** Rejects only for a defect, or a disk that takes neither journal nor log. */
  async carryOut(): Promise<void> {
    const journal = this.begin();
    this.control.grew();
    const spool = this.openSpool();
    const log = new JobLog(spool, maskedStrings(Object.values(this.message.sealedInputs)));
    this.log = log;
    const limitMs = this.spec.maxRuntimeSeconds * 1000;
    this.timers.push(setTimeout(() => void this.stop('timed_out', 'now', 'time_limit'), limitMs));
    const context = await createContext({
      spec: this.spec,
      message: this.message,
      directory: ownDirectory(this.spec.job),
      journal,
      log,
      pipes: this.pipes,
      stopControl: this.stopControl,
      onProgress: (progress) => this.control.progress(log.maskJson(progress)),
    });
    const forced = this.forced.promise.then((): null => null);
    const end = await Promise.race([
      perform(context).then(
        (result) => endOf(result, null, this.stopControl.effective),
        (error: unknown) => endOf(null, error, this.stopControl.effective),
      ),
      forced,
    ]);
    await this.end(end ?? endOf(null, null, this.stopControl.effective));
  }

  /** Says whether the work ends now or at the end of its step. */
  stop(cause: StopCause, mode: StopMode, why: string): 'now' | 'step' {
    if (this.isEnding) return 'now';
    const at = Date.now();
    const bound = this.stopControl.stop({ cause, mode, why });
    try {
      this.journal?.append({ type: 'stop_requested', at, mode, why });
      this.control.grew();
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
    const journal = JournalWriter.open('.');
    journal.append({ type: 'started', at: Date.now() });
    this.journal = journal;
    this.control.follow(() => ({
      started: true,
      logLength: this.spool?.length ?? 0,
      records: journal.records,
    }));
    return journal;
  }

  private openSpool(): SpoolWriter {
    const onGrew = () => this.control.grew();
    const capBytes = this.spec.spoolCapBytes;
    this.spool = SpoolWriter.open({ directory: '.', capBytes, nowUs, onGrew });
    return this.spool;
  }

  private endWithinBound(): void {
    const { termGraceMs, stopWithinMs } = this.message.timings;
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

/**
 * The job's folder by its name. A runner that was started ahead lives in a folder that has been renamed
 * since, outside; in here its state folder is its own, so the name can be added.
 */
function ownDirectory(job: string): string {
  const current = process.cwd();
  const named = join(dirname(current), job);
  if (current !== named) symlinkSync(current, named);
  return named;
}
