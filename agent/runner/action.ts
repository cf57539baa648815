import type { JsonValue } from '../../proto/documents/fields.ts';
import type { Plan, PlanStep } from '../../proto/documents/kinds/plan.ts';
import type { SessionKeys } from '../../proto/terminal/session-keys.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import type { JournalRecord } from '../jobs/journal-record.ts';
import type { CommandOptions, CommandResult } from '../process/command.ts';
import type { CommandOutput } from '../process/run-command.ts';

/** How an action ended. `succeeded` false makes the job `failed` with `reason`. */
export interface ActionResult {
  succeeded: boolean;
  reason: string | null;
  exitStatus: number | null;
  result: JsonValue;
}

/** What a step may write a backup to, and how it says that the backup is complete. */
export interface SavedBackup {
  path: string;
  bytes: number;
  digest: string;
}

/** What an action can do to the world; the runner provides it. */
export interface ActionContext {
  spec: JobSpec;
  /** Secrets sealed to this job, by name; masked in the log from the first byte on. */
  sealedInputs: Readonly<Record<string, string>>;
  /** The job's own folder; scratch files go here. Absolute. */
  directory: string;
  /** For mode `undo`: the folder of the job to undo, and its journal. */
  undone: {
    directory: string;
    records: readonly JournalRecord[];
  } | null;
  /** Of an interactive action: the keys of the engineer's session, and the log for its recording. */
  session?: { keys: SessionKeys; openOutput(): CommandOutput };
  /** A line in the log, from the action itself. */
  note(text: string): void;
  /** Percent 0 to 100, or null while the extent is unknown. */
  progress(phase: string, percent: number | null, text: string): void;
  /**
   * Hands a secret that this job made to the client, under a name (`password`) that people see: it is masked in
   * the log from the call on, sealed to the recipient of the grant, and durable when this resolves. Call it
   * before the secret is put to use, or a crash in between would lose what lets the client in. Throws
   * ActionError `no_credential_recipient` unless `spec.credentialRecipient` is an age recipient: an action that
   * can do with an SSH key instead looks there first.
   */
  sealOutput(name: string, value: string): Promise<void>;
  /** Runs a program; its output goes to the log as it comes unless `capture` says otherwise. */
  run(argv: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /**
   * Runs one step of a plan: journals its start, refuses to begin when the job was told to stop, calls
   * `body`, journals its end. `saved` must be called, and has returned, before the step's first write.
   *
   * `putBack` is for a step with `interrupt: 'rollback'` that takes back by itself all that it did, whatever part
   * of it that was; without it that is the matter of whoever runs the step. It is called when the step has saved something and then fails, or is told by `signal`
   * to stop before its end; it has what is left of the step's bound. Throws RolledBackError when it did, and
   * RollbackFailedError when it could not.
   */
  step(
    step: Pick<PlanStep, 'id' | 'description' | 'interrupt'>,
    body: (saved: (backups: SavedBackup[]) => Promise<void>) => Promise<void>,
    putBack?: () => Promise<void>,
  ): Promise<void>;
  /** Aborted when the running step is to stop now. */
  signal: AbortSignal;
}

/** Carries out one declared action. `plan` and `undo` exist where the declaration says so. */
export interface ActionImplementation {
  /** Looks and describes; changes nothing. The same server state gives the same bytes. */
  plan?(
    context: ActionContext,
  ): Promise<Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>>;
  apply(context: ActionContext, plan: Plan | null): Promise<ActionResult>;
  undo?(context: ActionContext): Promise<ActionResult>;
}

/** Thrown by an action that cannot go on; the job is `failed` with this reason and the note is logged. */
export class ActionError extends Error {
  override name = 'ActionError';
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Thrown out of a step that failed or was told to stop, and has put back all that it did. */
export class RolledBackError extends ActionError {
  override name = 'RolledBackError';

  /** @param cause why it did not reach its end */
  constructor(cause: Error) {
    const reason = cause instanceof ActionError ? cause.reason : 'action_error';
    super(reason, `${sentence(cause)} Everything was put back as it was.`, { cause });
  }
}

/** Thrown out of a step that failed or was told to stop, and could not put back all that it did. */
export class RollbackFailedError extends ActionError {
  override name = 'RollbackFailedError';
  readonly step: string;

  constructor(step: string, cause: Error, failure: Error) {
    super(
      'rollback_incomplete',
      `${sentence(cause)} Putting back what step ${step} did failed: ${sentence(failure)} What was saved is kept: undo the job.`,
      { cause: failure },
    );
    this.step = step;
  }
}

function sentence({ message }: Error): string {
  const text = message.slice(0, 800);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
