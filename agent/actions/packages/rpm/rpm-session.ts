import { cp, mkdir, rm } from 'node:fs/promises';
import { constants } from 'node:fs';
import { basename, join } from 'node:path';
import type { CommandOptions, CommandResult } from '../../../process/command.ts';
import type { ActionContext } from '../../../runner/action.ts';
import { SCRATCH_IN_PLAN } from '../apt-session.ts';
import { LineReader } from '../line-reader.ts';
import { inCommands, type RpmManager, type RpmName, type RpmTransaction } from './rpm-manager.ts';
import { readRpmsIn, type RpmArchive } from './rpm-archives.ts';
import { runRpmProgram } from './rpm-records.ts';

/** Lists of packages that the server has already: dnf fetches only what is newer. */
const SERVER_LISTS = '/var/cache/dnf';

/** The package manager with lists and packages of this job alone. Whoever opens it closes it. */
export class RpmSession {
  readonly folder: string;
  readonly manager: RpmManager;
  private readonly context: ActionContext;

  private constructor(context: ActionContext, manager: RpmManager, folder: string) {
    this.context = context;
    this.manager = manager;
    this.folder = folder;
  }

  static async open(context: ActionContext, manager: RpmManager): Promise<RpmSession> {
    const folder = SCRATCH_IN_PLAN.replace('JOB', context.spec.job);
    await mkdir(folder, { mode: 0o700 });
    const session = new RpmSession(context, manager, folder);
    try {
      if (manager.program === 'dnf') await session.takeLists();
    } catch (error) {
      await session.close();
      throw error;
    }
    return session;
  }

  private async takeLists(): Promise<void> {
    const wanted = (name: string) => basename(name) !== 'packages' && !name.endsWith('.pid');
    await cp(SERVER_LISTS, join(this.folder, 'cache'), {
      recursive: true,
      filter: wanted,
      mode: constants.COPYFILE_FICLONE,
      preserveTimestamps: true,
    }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }

  /** Brings the lists up to date. Returns what the manager complains about without giving up. */
  async refresh(): Promise<string[]> {
    this.context.progress('refreshing', null, 'lists of packages');
    const done = await this.run(this.manager.refresh(this.folder), {
      output: 'both',
      signal: this.context.signal,
    });
    if (done.exitStatus !== 0) throw this.manager.error(done);
    return this.manager.complaints(done).slice(0, 20);
  }

  async simulate(words: readonly string[]): Promise<RpmTransaction> {
    const done = await this.run(this.manager.simulate(this.folder, words));
    return this.manager.readSimulation(done);
  }

  async fetch(words: readonly string[]): Promise<RpmArchive[]> {
    this.context.progress('fetching', null, 'packages');
    const done = await this.run(this.manager.fetch(this.folder, words), {
      output: 'both',
      signal: this.context.signal,
    });
    if (done.exitStatus !== 0) throw this.manager.error(done);
    return readRpmsIn(this.context, join(this.folder, 'packages'));
  }

  /** Every version of these packages that the repositories have. */
  async available(names: readonly string[]): Promise<RpmName[]> {
    if (names.length === 0) return [];
    return this.manager.readAvailable(
      await this.run(this.manager.listAvailable(this.folder, names)),
    );
  }

  /** Fetches installed versions once more. */
  async fetchEarlier(entries: readonly RpmName[]): Promise<RpmArchive[]> {
    for (const some of inCommands(entries)) {
      this.context.progress(
        'saving',
        null,
        some
          .map(({ name }) => name)
          .join(', ')
          .slice(0, 200),
      );
      const done = await this.run(this.manager.fetchEarlier(this.folder, some), {
        output: 'both',
        signal: this.context.signal,
      });
      if (done.exitStatus !== 0) throw this.manager.error(done);
    }
    return readRpmsIn(this.context, join(this.folder, 'earlier'));
  }

  install(words: readonly string[]): Promise<CommandResult> {
    const reader = new LineReader((line) => {
      const step = this.manager.progress(line);
      if (step !== null) {
        this.context.progress('installing', step.percent, step.text.slice(0, 200));
      }
    });
    return this.run(this.manager.install(this.folder, words), {
      output: 'both',
      onOutput: (channel, bytes) => channel === 'out' && reader.take(bytes),
    });
  }

  private run(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runRpmProgram(this.context, argv, options);
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
