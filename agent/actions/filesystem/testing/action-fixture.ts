import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonValue } from '../../../../proto/documents/fields.ts';
import type { FilesystemResult } from '../../../../proto/actions/filesystem.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import type { JournalRecord } from '../../../jobs/journal-record.ts';
import { Pipes } from '../../../process/pipe.ts';
import { runCommand, type CommandOutput } from '../../../process/run-command.ts';
import type { ActionContext, ActionImplementation, ActionResult } from '../../../runner/action.ts';
import { planBytes } from '../../../runner/make-plan.ts';
import { filesystemCheck, filesystemRepair } from '../index.ts';

type Parameters = Record<string, JsonValue>;

/** What a job of the fixture did. */
export interface Trace {
  job: string;
  directory: string;
  records: JournalRecord[];
  commands: string[][];
  notes: string[];
  progress: { phase: string; percent: number | null }[];
  log: string;
}

export interface JobOptions {
  agentMode?: JobSpec['agentMode'];
  /** Called with what programs say, as it comes; a promise holds the programs up. */
  onOutput?: (text: string) => Promise<void> | void;
  /** Called before a program starts; returns the words to start instead. */
  onStart?: (argv: readonly string[]) => readonly string[];
  /** Called when a program has ended; what it throws is as far as the job gets. */
  onEnd?: (argv: readonly string[]) => void;
  /** Called with each record of the journal, before the job goes on. */
  onRecord?: (record: JournalRecord) => void;
  /** Called before a step begins. */
  onStep?: (step: string) => Promise<void> | void;
  signal?: AbortSignal;
}

/** Carries out the file system's actions in this process, with real programs and no sandbox. */
export class ActionFixture {
  readonly folder: string;
  private readonly pipes: Pipes;

  private constructor(folder: string) {
    this.folder = folder;
    this.pipes = new Pipes(folder);
  }

  /** In a folder that somebody else makes and removes. */
  static in(folder: string): ActionFixture {
    return new ActionFixture(folder);
  }

  static async create(): Promise<ActionFixture> {
    return new ActionFixture(await mkdtemp(join(tmpdir(), 'ivf-')));
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** What a part of an action is given, for tests of that part. */
  async bareContext(options: JobOptions = {}): Promise<ActionContext> {
    return (await this.begin('filesystem.check', 'apply', {}, options)).context;
  }

  async check(parameters: Parameters, options: JobOptions = {}): Promise<Result & Trace> {
    const { trace, context } = await this.begin('filesystem.check', 'apply', parameters, options);
    const done = await filesystemCheck.apply(context, null);
    return { ...trace, ...typed(done) };
  }

  /** The plan, made to the bytes that are signed and read back. */
  async plan(parameters: Parameters, options: JobOptions = {}): Promise<{ plan: Plan } & Trace> {
    const { trace, context } = await this.begin('filesystem.repair', 'plan', parameters, options);
    const { server, action, actionVersion } = context.spec;
    const body = await filesystemRepair.plan!(context);
    const bytes = planBytes({ ...body, server, action, actionVersion, parameters });
    return { ...trace, plan: JSON.parse(bytes.toString('utf8')) as Plan };
  }

  /** `trace` is filled also when the job fails. */
  async apply(
    plan: Plan,
    options: JobOptions = {},
    trace: Partial<Trace> = {},
  ): Promise<Result & Trace> {
    return this.change('apply', plan.parameters, options, trace, (implementation, context) =>
      implementation.apply(context, plan),
    );
  }

  async undo(
    applied: Pick<Trace, 'job' | 'directory' | 'records'>,
    parameters: Parameters,
    options: JobOptions = {},
    trace: Partial<Trace> = {},
  ): Promise<Result & Trace> {
    const undone = { directory: applied.directory, records: applied.records };
    return this.change('undo', parameters, options, trace, (implementation, context) =>
      implementation.undo!({ ...context, undone }),
    );
  }

  private async change(
    mode: 'apply' | 'undo',
    parameters: Parameters,
    options: JobOptions,
    given: Partial<Trace>,
    act: (implementation: ActionImplementation, context: ActionContext) => Promise<ActionResult>,
  ): Promise<Result & Trace> {
    const { trace, context } = await this.begin('filesystem.repair', mode, parameters, options);
    Object.assign(given, trace);
    try {
      return { ...typed(await act(filesystemRepair, context)), ...trace };
    } finally {
      Object.assign(given, trace);
    }
  }

  private async begin(
    action: string,
    mode: JobSpec['mode'],
    parameters: Parameters,
    options: JobOptions,
  ): Promise<{ trace: Trace; context: ActionContext }> {
    const job = randomUUID();
    const directory = join(this.folder, 'jobs', job);
    await mkdir(directory, { recursive: true });
    const trace: Trace = {
      job,
      directory,
      records: [],
      commands: [],
      notes: [],
      progress: [],
      log: '',
    };
    return { trace, context: this.context(action, mode, parameters, options, trace) };
  }

  private context(
    action: string,
    mode: JobSpec['mode'],
    parameters: Parameters,
    options: JobOptions,
    trace: Trace,
  ): ActionContext {
    const output = (): CommandOutput => {
      let room: Promise<void> | null = null;
      return {
        write(_, bytes) {
          trace.log += bytes.toString('utf8');
          room = options.onOutput?.(bytes.toString('utf8')) ?? null;
          return true;
        },
        room: () => room,
        end: () => undefined,
      };
    };
    const surroundings = {
      pipes: this.pipes,
      openOutput: output,
      note: (text: string) => void trace.notes.push(text),
      kill: (pid: number, signal: NodeJS.Signals) => void process.kill(-pid, signal),
      termGraceMs: 2_000,
      drainMs: 2_000,
    };
    return {
      spec: {
        job: trace.job,
        server: '0b8f9c3e-52f1-4c55-8a39-6f0d5a1c7e21',
        action,
        actionVersion: 1,
        mode,
        parameters,
        target: null,
        plan: null,
        undoes: null,
        agentMode: options.agentMode ?? 'resident',
        maxRuntimeSeconds: 600,
        onDisconnect: 'finish',
        spoolCapBytes: 64 * 1024 * 1024,
      },
      sealedInputs: {},
      directory: trace.directory,
      undone: null,
      sealOutput: () => Promise.reject(new Error('a repair of a file system makes no secret')),
      note: (text) => void trace.notes.push(text),
      progress: (phase, percent) => void trace.progress.push({ phase, percent }),
      async run(argv, commandOptions) {
        trace.commands.push([...argv]);
        const words = options.onStart?.(argv) ?? argv;
        const done = await runCommand(surroundings, words, commandOptions);
        options.onEnd?.(argv);
        return done;
      },
      async step({ id, description }, body) {
        await options.onStep?.(id);
        const at = Date.now();
        const record = (one: JournalRecord) => {
          trace.records.push(one);
          options.onRecord?.(one);
        };
        record({ type: 'step_started', at, step: id, description });
        try {
          await body(async (backups) => record({ type: 'step_saved', at, step: id, backups }));
        } catch (error) {
          const detail = String(error);
          record({ type: 'step_ended', at, step: id, ok: false, detail });
          throw error;
        }
        record({ type: 'step_ended', at, step: id, ok: true, detail: '' });
      },
      signal: options.signal ?? new AbortController().signal,
    };
  }
}

type Result = Omit<ActionResult, 'result'> & { result: FilesystemResult };

function typed(done: ActionResult): Result {
  return { ...done, result: done.result as FilesystemResult };
}
