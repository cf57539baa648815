import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import { ControlChannel } from './control-channel.ts';
import type { RunnerChannel } from './held-job.ts';
import { syncDirectory } from '../connection/durable-file.ts';
import { createJobFolder } from './job-folder.ts';
import type { JobSpec } from './job-spec.ts';
import type { JobsLog } from './job.ts';
import { killRunner, startRunner, type RunnerProgram } from './runner-process.ts';
import { forgetRunner } from './runner-record.ts';
import { sandboxArguments } from './sandbox.ts';
import { systemCallFilter } from './system-call-filter.ts';
import { hostSandboxPaths, type SandboxPlaces } from './sandbox-paths.ts';

export const SPARE_PREFIX = 'spare-';

export interface Spare {
  directory: string;
  channel: RunnerChannel;
  /** What was mounted, and is not shared, when its mounts were made. */
  mounts: string;
}

/** The sandbox of the only runner that is started ahead: the one of `command.run`. */
const declared: Pick<ActionDeclaration, 'capabilities' | 'changes'> = {
  capabilities: ['host', 'network'],
  changes: true,
};

/** A new spare does not compete with the first instructions of the job that took the old one. */
const NEXT_AFTER_MS = 100;

/** Whether a job could live in the sandbox that spares are started in. */
function fitsSpare(declaration: ActionDeclaration, spec: JobSpec): boolean {
  const { capabilities } = declaration;
  return (
    declared.capabilities.every((capability) => capabilities.includes(capability)) &&
    !capabilities.includes('device') &&
    !capabilities.includes('disks') &&
    spec.undoes === null &&
    spec.parameters['backupDirectory'] === undefined
  );
}

/** Keeps one runner ready that knows of no job yet. */
export class SpareKeeper {
  private readonly places: SandboxPlaces;
  private readonly program: RunnerProgram;
  private readonly log: JobsLog;
  private spare: Spare | null = null;
  private isWanted = false;
  private working: Promise<void> = Promise.resolve();

  constructor(places: SandboxPlaces, program: RunnerProgram, log: JobsLog) {
    this.places = places;
    this.program = program;
    this.log = log;
  }

  keep(wanted: boolean): void {
    this.isWanted = wanted;
    this.work();
  }

  /**
   * The spare, if there is one that the job could use; another one is then made. One that is of no use any
   * more is gone when this resolves: it would keep what was unmounted since from being repaired.
   */
  async take(declaration: ActionDeclaration, spec: JobSpec): Promise<Spare | null> {
    const spare = this.spare;
    if (spare === null) return null;
    const isFit = isUsable(spare);
    if (isFit && !fitsSpare(declaration, spec)) return null;
    this.spare = null;
    setTimeout(() => this.work(), NEXT_AFTER_MS).unref();
    if (isFit) return spare;
    await dismissSpare(spare.directory);
    return null;
  }

  async close(): Promise<void> {
    this.isWanted = false;
    this.work();
    await this.working;
  }

  private work(): void {
    this.working = this.working.then(() => this.settle());
  }

  private async settle(): Promise<void> {
    if (this.spare !== null && !(this.isWanted && isUsable(this.spare))) {
      const { directory } = this.spare;
      this.spare = null;
      await dismissSpare(directory);
    }
    if (!this.isWanted || this.spare !== null) return;
    try {
      this.spare = await startSpare(this.places, this.program);
    } catch (error) {
      this.log.warn({ err: error }, 'no spare runner could be started');
    }
  }
}

/** Throws RunnerStartError. */
async function startSpare(places: SandboxPlaces, program: RunnerProgram): Promise<Spare> {
  const name = `${SPARE_PREFIX}${randomBytes(4).toString('hex')}`;
  const directory = join(places.stateDirectory, 'jobs', name);
  const mounts = mountTable();
  try {
    await createJobFolder(directory);
    await syncDirectory(dirname(directory));
    const paths = await hostSandboxPaths(directory, places);
    const sandbox = {
      arguments: sandboxArguments(declared, { mode: 'apply' }, paths),
      filter: systemCallFilter(declared),
    };
    const socket = await startRunner(program, sandbox, directory);
    const channel: RunnerChannel = new ControlChannel(socket, ignore, ignore);
    return { directory, channel, mounts };
  } catch (error) {
    await dismissSpare(directory);
    throw error;
  }
}

/** A spare that died, or that would not see what has been mounted since, is of no use. */
function isUsable(spare: Spare): boolean {
  return spare.channel.isOpen && spare.mounts === mountTable();
}

export async function dismissSpare(directory: string): Promise<void> {
  await killRunner(directory);
  forgetRunner(directory);
  await rm(directory, { recursive: true, force: true });
}

/** The mounts that a spare does not follow: shared ones reach its namespace (mount_namespaces(7)). */
function mountTable(): string {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.filter((line) => !line.includes(' shared:')).join('\n');
}

function ignore(): void {
  // Replaced as soon as a job takes the spare.
}
