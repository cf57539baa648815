import { mkdirSync, realpathSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findAction } from '../../proto/actions/catalogue.ts';
import { declarationFor, type ActionDeclaration } from '../../proto/actions/declaration.ts';
import { PATH_REFUSED } from './bury.ts';
import { ControlChannel } from './control-channel.ts';
import {
  CONTROL_SOCKET,
  runnerTimings,
  SCRATCH_FOLDER,
  type RunnerTimings,
} from './control-messages.ts';
import { HeldJob, JobStartError, type RunnerChannel } from './held-job.ts';
import type { Job, Jobs, JobsLog } from './job.ts';
import { syncDirectory } from '../connection/durable-file.ts';
import { GuardKeeper } from '../guard/guard-keeper.ts';
import { isGuarded } from '../guard/guarded-spec.ts';
import {
  createJobFolder,
  hasSpool,
  JOB_ID,
  readSpec,
  receivedJob,
  writeReceived,
} from './job-folder.ts';
import type { JobSpec, SealedInputs } from './job-spec.ts';
import { RESERVE_FILE } from './journal-writer.ts';
import { dropEmptyFolder, ForbiddenPathError } from './named-path.ts';
import { hardwareSpecs, observedFor } from './observations.ts';
import { forgetObservations, observedFolder, Observer } from './observer.ts';
import { releasedJob } from './released-job.ts';
import { killRunner, startRunner, type RunnerProgram } from './runner-process.ts';
import { forgetRunner, renameJobFolder } from './runner-record.ts';
import { sandboxArguments } from './sandbox.ts';
import { systemCallFilter } from './system-call-filter.ts';
import { deviceNodePath, resolveSandboxPaths, type SandboxPlaces } from './sandbox-paths.ts';
import { TimeLimit } from './time-limit.ts';
import { dismissSpare, SPARE_PREFIX, SpareKeeper } from './spare.ts';
import { SPOOL_FILE } from './spool-writer.ts';
import { removeLeftovers } from '../target/offline/stack/leftovers.ts';

/** A runner that answers late is looked after in the background from then on. */
const LOAD_WITHIN_MS = 2_000;
/** On a full disk the end of a job waits for room; who wanted it started does not. */
const BURY_WITHIN_MS = 2_000;

export interface JobsOptions {
  stateDirectory: string;
  /** Folder of the agent's program; no job may write there. */
  programDirectory: string;
  /** Configuration and policy; likewise. */
  protectedPaths: readonly string[];
  log: JobsLog;
  /** Default: this process's own. */
  nodePath?: string;
  /** Default: `agent/runner/main.ts` of this program. */
  runnerEntry?: string;
  bwrapPath?: string;
  timings?: Partial<RunnerTimings>;
  /** How long a runner waits for its start while no agent is there; default 30 s. */
  startWithinMs?: number;
  /** How long after its time limit a job may still run before the agent ends it; default 15 s. */
  overrunGraceMs?: number;
}

/** See `Jobs`. */
export function createJobs(options: JobsOptions): Jobs {
  mkdirSync(join(options.stateDirectory, 'jobs'), { recursive: true, mode: 0o700 });
  return new HeldJobs(options);
}

class HeldJobs implements Jobs {
  private readonly places: SandboxPlaces;
  private readonly program: RunnerProgram;
  private readonly timings: RunnerTimings;
  private readonly folder: string;
  private readonly held = new Map<string, HeldJob>();
  /** Jobs whose folder is being made. */
  private readonly making = new Set<string>();
  private readonly listeners = new Set<(job: Job) => void>();
  private readonly guards = new Map<string, GuardKeeper>();
  private readonly limits = new Set<TimeLimit>();
  private readonly overrunGraceMs: number | undefined;
  private readonly spares: SpareKeeper;
  private readonly log: JobsLog;
  private isConnected: boolean | null = null;

  constructor(options: JobsOptions) {
    const nodePath = options.nodePath ?? process.execPath;
    const { programDirectory, protectedPaths } = options;
    const stateDirectory = realpathSync(options.stateDirectory);
    this.places = { stateDirectory, programDirectory, nodePath, protectedPaths };
    this.program = {
      bwrapPath: options.bwrapPath ?? '/usr/bin/bwrap',
      nodePath,
      entry: options.runnerEntry ?? join(import.meta.dirname, '..', 'runner', 'main.ts'),
      startWithinMs: options.startWithinMs ?? 30_000,
    };
    this.timings = { ...runnerTimings, ...options.timings };
    this.folder = join(stateDirectory, 'jobs');
    this.log = options.log;
    this.overrunGraceMs = options.overrunGraceMs;
    this.spares = new SpareKeeper(this.places, this.program, options.log);
  }

  async load(): Promise<void> {
    const names = await readdir(this.folder);
    await Promise.all(names.map((name) => this.loadFolder(name)));
    const { stateDirectory } = this.places;
    await forgetObservations(stateDirectory, (job) => this.held.get(job)?.ended === null);
    await this.removeLeftovers();
  }

  async start(
    spec: JobSpec,
    sealedInputs: SealedInputs,
    sessionKeys: Buffer | null = null,
  ): Promise<Job> {
    const action = findAction(spec.action);
    if (action === undefined) throw new JobStartError(`${spec.action} is unknown`);
    const declaration = declarationFor(action, spec.target);
    if (!JOB_ID.test(spec.job)) throw new JobStartError('the job has no proper id');
    if (this.held.has(spec.job) || this.making.has(spec.job)) {
      throw new JobStartError('the job is already here');
    }
    const directory = join(this.folder, spec.job);
    this.making.add(spec.job);
    const spare = await this.spares.take(declaration, spec);
    try {
      if (spare !== null) await renameJobFolder(spare.directory, directory);
      else await createJobFolder(directory);
    } catch (error) {
      if (spare !== null) await dismissSpare(spare.directory);
      throw new JobStartError('the folder of the job cannot be made', { cause: error });
    } finally {
      this.making.delete(spec.job);
    }
    const job = new HeldJob(spec.job, directory, this.log);
    this.add(job);
    this.keepGuard(job, spec);
    try {
      await writeReceived(directory, spec, { isDurable: spare === null });
      // The name of a spare's folder is durable, and `load` knows its job by the journal.
      if (spare === null) await syncDirectory(this.folder);
      const channel = spare?.channel ?? (await this.startRunner(declaration, spec, directory));
      if (job.isKilled) {
        channel.destroy();
        throw new JobStartError('the job was killed before it started');
      }
      const { interrupt } = declaration;
      job.attach(channel, {
        type: 'start',
        sealedInputs,
        ...(sessionKeys !== null && { sessionKeys: sessionKeys.toString('base64') }),
        interrupt,
        timings: this.timings,
      });
    } catch (error) {
      await killRunner(directory);
      const [why, note] =
        error instanceof ForbiddenPathError ? [PATH_REFUSED, error.message] : ['not_started'];
      await Promise.race([job.kill(why!, note), sleep(BURY_WITHIN_MS)]);
      throw new JobStartError('no runner could be started', { cause: error });
    }
    await job.whenStarted();
    this.limit(job, spec);
    return job;
  }

  get(id: string): Job | undefined {
    return this.held.get(id);
  }

  all(): Job[] {
    return [...this.held.values()];
  }

  setConnected(connected: boolean): void {
    this.isConnected = connected;
    for (const job of this.held.values()) job.setConnected(connected);
  }

  keepSpare(wanted: boolean): void {
    this.spares.keep(wanted);
  }

  recall(id: string): Job | null {
    if (!JOB_ID.test(id) || this.held.has(id)) return null;
    const job = new HeldJob(id, join(this.folder, id), this.log);
    try {
      job.refresh();
      return releasedJob(job);
    } catch {
      // Its folder is gone, or damaged.
      return null;
    } finally {
      job.close();
    }
  }

  async release(id: string): Promise<void> {
    const job = this.held.get(id);
    if (job === undefined) return;
    if (job.ended === null) throw new Error('a running job is not released');
    // The log goes first: a folder without one is taken for released when the jobs are loaded.
    for (const name of [SPOOL_FILE, SCRATCH_FOLDER, RESERVE_FILE, CONTROL_SOCKET]) {
      await rm(join(job.directory, name), { recursive: true, force: true });
    }
    await rm(deviceNodePath(this.places.stateDirectory, id), { force: true });
    forgetRunner(job.directory);
    this.guards.get(id)?.stop();
    this.guards.delete(id);
    job.close();
    this.held.delete(id);
  }

  onAdded(listener: (job: Job) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async killAll(why: string): Promise<void> {
    await Promise.all([...this.held.values()].map((job) => job.kill(why)));
  }

  async close(): Promise<void> {
    for (const job of this.held.values()) job.close();
    for (const guard of this.guards.values()) guard.stop();
    for (const limit of this.limits) limit.stop();
    await this.spares.close();
  }

  private add(job: HeldJob): void {
    this.held.set(job.id, job);
    if (this.isConnected !== null) job.setConnected(this.isConnected);
    if (job.ended === null) {
      const stop = job.onChange(() => {
        if (job.ended === null) return;
        stop();
        void this.removeLeftovers();
      });
    }
    for (const listener of this.listeners) listener(job);
  }

  /** What a job that was killed had opened of its disks. */
  private async removeLeftovers(): Promise<void> {
    const running = [...this.held.values()].filter((job) => job.ended === null);
    try {
      const gone = await removeLeftovers(running.map(({ id }) => id));
      if (gone.length > 0)
        this.log.warn({ devices: gone }, 'what a job left behind was taken apart');
    } catch (error) {
      this.log.warn({ err: error }, 'what killed jobs left cannot be looked for');
    }
  }

  private keepGuard(job: HeldJob, spec: JobSpec | null): void {
    if (spec !== null && isGuarded(spec)) this.guards.set(job.id, new GuardKeeper(job));
  }

  private limit(job: HeldJob, spec: JobSpec | null): void {
    if (spec === null || job.ended !== null) return;
    const limit = new TimeLimit(job, spec, this.overrunGraceMs);
    this.limits.add(limit);
    job.onChange(() => job.ended !== null && this.limits.delete(limit));
  }

  private async startRunner(
    declaration: ActionDeclaration,
    spec: JobSpec,
    directory: string,
  ): Promise<RunnerChannel> {
    const paths = await resolveSandboxPaths(declaration, spec, directory, this.places);
    const sandbox = {
      arguments: sandboxArguments(declaration, spec, paths),
      filter: systemCallFilter(declaration),
    };
    const { backups } = paths;
    const observer = paths.observations === null ? null : await this.prepareObserver(spec.job);
    let socket;
    try {
      socket = await startRunner(this.program, sandbox, directory);
    } catch (error) {
      if (backups?.isWritable) await dropEmptyFolder(backups.path);
      await observer?.stop();
      throw error;
    } finally {
      if (backups?.isTransient) await dropEmptyFolder(backups.path);
    }
    const job = this.held.get(spec.job);
    if (observer !== null) this.observe(observer, observedFor(declaration), job);
    if (backups?.isWritable) {
      job?.onChange(() => job.ended !== null && void dropEmptyFolder(backups.path));
    }
    return new ControlChannel(
      socket,
      () => undefined,
      () => undefined,
    );
  }

  private async prepareObserver(job: string): Promise<Observer> {
    const folder = observedFolder(this.places.stateDirectory, job);
    const observer = new Observer(folder, this.program.bwrapPath);
    await observer.prepare();
    return observer;
  }

  /** Beside the runner, which waits for what comes of it, and no longer than the job lives. */
  private observe(
    observer: Observer,
    what: ReturnType<typeof observedFor>,
    job: HeldJob | undefined,
  ): void {
    if (job === undefined || job.ended !== null) return void observer.stop();
    job.onChange(() => job.ended !== null && void observer.stop());
    observer.observe(what === 'hardware' ? hardwareSpecs() : undefined).catch((error: unknown) => {
      this.log.warn({ err: error }, 'the server could not be observed for a job');
    });
  }

  private async loadFolder(name: string): Promise<void> {
    let directory = join(this.folder, name);
    let id = name;
    if (name.startsWith(SPARE_PREFIX)) {
      // A crash may have come between the rename that gave a spare its job and the disk.
      const job = receivedJob(directory);
      if (job === null || !JOB_ID.test(job)) return dismissSpare(directory);
      await renameJobFolder(directory, join(this.folder, job));
      directory = join(this.folder, job);
      id = job;
    }
    if (!JOB_ID.test(id) || this.held.has(id)) return;
    const job = new HeldJob(id, directory, this.log);
    job.refresh();
    if (job.ended !== null && !(await hasSpool(directory))) return;
    this.add(job);
    if (job.ended !== null) return;
    const spec = await readSpec(directory);
    this.keepGuard(job, spec);
    this.limit(job, spec);
    await Promise.race([job.recover(), sleep(LOAD_WITHIN_MS)]);
  }
}
