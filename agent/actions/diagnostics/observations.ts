import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  OBSERVED_ALL,
  OBSERVED_FOLDER,
  observationFile,
  type Observation,
  type ObservationName,
} from '../../jobs/observation.ts';
import { NotApplicable, ProbeFailure } from './probe.ts';

const LOOK_EVERY_MS = 20;

/** Where what the agent observes for a job arrives: beside the folder of the jobs, by the job's name. */
export function observedFolder(directory: string): string {
  return join(dirname(dirname(directory)), OBSERVED_FOLDER, basename(directory));
}

/** What the agent observes for this job, as it arrives in its folder. */
export class Observations {
  private readonly folder: string;
  private readonly waiting = new Set<() => void>();
  private names: ReadonlySet<string> = new Set();
  private isOver = false;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Looks at the folder until everything is there or the time is over, or at once where there is none. */
  async follow(withinMs: number): Promise<void> {
    if (!existsSync(this.folder)) withinMs = 0;
    const end = performance.now() + withinMs;
    while (!this.names.has(OBSERVED_ALL) && performance.now() < end) {
      const names = await readdir(this.folder).catch((): string[] => []);
      if (names.length !== this.names.size) {
        this.names = new Set(names);
        for (const look of this.waiting) look();
      }
      if (!this.names.has(OBSERVED_ALL)) await sleep(LOOK_EVERY_MS);
    }
    this.isOver = true;
    for (const look of this.waiting) look();
  }

  async get(name: ObservationName): Promise<Observation> {
    const file = observationFile(name);
    await this.until(() => this.names.has(file));
    if (!this.names.has(file)) {
      throw new ProbeFailure(`the agent has not observed ${name} in time`);
    }
    const seen = JSON.parse(await readFile(join(this.folder, file), 'utf8')) as Observation;
    const program = seen.command.split(' ', 1)[0];
    switch (seen.problem) {
      case null:
        return seen;
      case 'not_applicable':
        throw new NotApplicable(`there is nothing to look at for ${name}`);
      case 'not_found':
        throw new ProbeFailure(`${program} is not installed`);
      case 'timed_out':
        throw new ProbeFailure(`${seen.command} took too long`);
      case 'too_long':
        throw new ProbeFailure(`${seen.command} printed too much`);
      case 'not_started':
        throw new ProbeFailure(`${seen.command} could not be run: ${seen.err}`);
    }
  }

  /** Names that begin so, when no more will come. */
  async matching(prefix: string): Promise<ObservationName[]> {
    await this.until(() => this.names.has(OBSERVED_ALL));
    return [...this.names]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.replace(/\.json$/, '') as ObservationName);
  }

  private async until(condition: () => boolean): Promise<void> {
    if (condition() || this.isOver) return;
    await new Promise<void>((resolve) => {
      const look = () => {
        if (!condition() && !this.isOver) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
    });
  }
}
