import type { EndedRecord, JournalRecord } from './journal-record.ts';
import type { JobSpec, SealedInputs } from './job-spec.ts';

export interface JobProgress {
  phase: string;
  percent: number | null;
  text: string;
}

/** A job this agent holds: running, or ended and not yet acknowledged by the control plane. */
export interface Job {
  readonly id: string;
  readonly directory: string;
  readonly ended: EndedRecord | null;
  /** Encoded bytes of log that can be read now. */
  readonly logLength: number;
  readonly progress: JobProgress | null;
  /** Its log was removed once the control plane had committed it; everything else is still here. */
  readonly isReleased?: true;
  /** Journal records from a sequence number on; the first record is number 0. */
  records(from: number): JournalRecord[];
  /** Reads at most `maxBytes` of the encoded log, on record boundaries. Empty at the end. */
  readLog(offset: number, maxBytes: number): Promise<Buffer>;
  /** Payload bytes of the plan a job of mode `plan` made. */
  readPlan(): Promise<Buffer | null>;
  /** Called whenever log, journal or progress grew; returns how to stop listening. */
  onChange(listener: () => void): () => void;
  cancel(mode: 'now' | 'after_step', why: string): Promise<void>;
}

/**
 * The jobs of this agent. Survives its own death: `load` finds runners that still run and goes on with
 * them, and makes `interrupted` of those whose runner died.
 */
export interface Jobs {
  load(): Promise<void>;
  /**
   * Starts a job whose order was verified and whose nonce is burnt. Resolves when the runner has journalled
   * `started`; rejects when none could be started (the job then ends `interrupted`, `not_started`).
   */
  start(spec: JobSpec, sealedInputs: SealedInputs, sessionKeys?: Buffer | null): Promise<Job>;
  get(id: string): Job | undefined;
  all(): Job[];
  /**
   * Whether the control plane can be heard: passed on to every runner, for `onDisconnect`. Nothing is
   * connected until this says so.
   */
  setConnected(connected: boolean): void;
  /** Keeps a warm runner ready, or lets it go. */
  keepSpare(wanted: boolean): void;
  /** A job that ended and was released, for a control plane that asks about it again; null when none is left. */
  recall(id: string): Job | null;
  /** Everything of an ended job is committed elsewhere: removes its log; keeps journal and backups. */
  release(id: string): Promise<void>;
  onAdded(listener: (job: Job) => void): () => void;
  /** Kills every runner at once. */
  killAll(why: string): Promise<void>;
  /** Lets go of the runners without stopping them. */
  close(): Promise<void>;
}

/** Where the jobs tell what nobody asked for; a pino logger is one. */
export interface JobsLog {
  warn(fields: object, message: string): void;
}
