import { chmod, copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandOptions, CommandResult } from '../../process/command.ts';
import { minimalEnvironment } from '../../process/run-command.ts';
import type { ActionContext } from '../../runner/action.ts';

/** apt fetches as the user `_apt`, who cannot enter the job's own folder. */
const SCRATCH_PARENT = '/var/tmp';
const SYSTEM_LISTS = '/var/lib/apt/lists';
/** Indexes of packages and what signs them; not translations, contents or icons. */
const WANTED_LIST = /(?:InRelease|Release|Release\.gpg|_Packages(?:\.\w+)?)$/;

/** Nobody is asked anything, and programs speak the language they are read in. */
export const packageEnvironment = {
  ...minimalEnvironment,
  LANG: 'C.UTF-8',
  LC_ALL: 'C.UTF-8',
  DEBIAN_FRONTEND: 'noninteractive',
  DEBCONF_NONINTERACTIVE_SEEN: 'true',
  APT_LISTCHANGES_FRONTEND: 'none',
  APT_LISTBUGS_FRONTEND: 'none',
  // ucf(1) and needrestart(1): keep the client's files, restart nothing by themselves.
  UCF_FORCE_CONFFOLD: '1',
  NEEDRESTART_MODE: 'l',
};

/**
 * What apt may never do, said on every command line, so that no apt.conf of the server can allow it:
 * apt-get(8), apt.conf(5).
 */
export const STRICT: readonly string[] = [
  '--no-remove',
  ...['-o', 'APT::Get::allow-downgrades=false'],
  ...['-o', 'APT::Get::allow-change-held-packages=false'],
  ...['-o', 'APT::Get::AllowUnauthenticated=false'],
];

/** Lets a simulation show everything that would be refused, instead of its first reason. */
export const PERMISSIVE: readonly string[] = [
  '--allow-downgrades',
  '--allow-change-held-packages',
  '--allow-remove-essential',
];

/** How apt's folder of a job is written in a plan, which is made before the job has a name. */
export const SCRATCH_IN_PLAN = `${SCRATCH_PARENT}/intervene-packages-JOB`;

/** Settings for one job: lists and archives of its own, and none of the server's hooks around lists. */
export function aptConfiguration(folder: string): string {
  return [
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear AptCli::Hooks;',
    `Dir::State::lists "${folder}/lists/";`,
    `Dir::Cache::archives "${folder}/archives/";`,
    'Dir::Cache::pkgcache "";',
    'Dir::Cache::srcpkgcache "";',
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    'Acquire::http::Timeout "20";',
    'Acquire::https::Timeout "20";',
    'Acquire::AllowInsecureRepositories "false";',
    'Acquire::AllowWeakRepositories "false";',
    'Acquire::AllowDowngradeToInsecureRepositories "false";',
    'APT::Get::Assume-Yes "true";',
    'APT::Get::AutomaticRemove "false";',
    'APT::Keep-Downloaded-Packages "true";',
    'Dpkg::Use-Pty "false";',
    'Dpkg::Options:: "--force-confold";',
    '',
  ].join('\n');
}

/** apt-get with lists and archives of this job alone; the server's own are read and never written. */
export class AptSession {
  readonly folder: string;
  private readonly context: ActionContext;

  private constructor(context: ActionContext, folder: string) {
    this.context = context;
    this.folder = folder;
  }

  /** Begins with a copy of the server's lists. Whoever opens it closes it. */
  static async open(context: ActionContext): Promise<AptSession> {
    const folder = SCRATCH_IN_PLAN.replace('JOB', context.spec.job);
    await mkdir(folder, { mode: 0o755 });
    const session = new AptSession(context, folder);
    try {
      await session.fill();
    } catch (error) {
      await session.close();
      throw error;
    }
    return session;
  }

  private async fill(): Promise<void> {
    await chmod(this.folder, 0o755);
    await mkdir(this.lists);
    await mkdir(this.archives);
    await writeFile(this.configuration, aptConfiguration(this.folder), { mode: 0o644 });
    const names = await readdir(SYSTEM_LISTS).catch(() => []);
    for (const name of names.filter((entry) => WANTED_LIST.test(entry))) {
      await copyFile(join(SYSTEM_LISTS, name), join(this.lists, name));
    }
  }

  get lists(): string {
    return join(this.folder, 'lists');
  }

  get archives(): string {
    return join(this.folder, 'archives');
  }

  private get configuration(): string {
    return join(this.folder, 'apt.conf');
  }

  /** The argv of one apt-get of this session. */
  argv(words: readonly string[]): string[] {
    return aptGet(this.folder, words);
  }

  run(words: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return this.runWith(this.argv(words), options);
  }

  /** Runs an argv that was made of one of this session's. */
  runWith(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return this.context.run(argv, { environment: packageEnvironment, ...options });
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function aptGet(folder: string, words: readonly string[]): string[] {
  return ['apt-get', '-q', '-c', join(folder, 'apt.conf'), ...words];
}

/** Runs dpkg and its relatives in the same surroundings as apt-get. */
export function runDpkg(
  context: Pick<ActionContext, 'run'>,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return context.run(argv, { environment: packageEnvironment, ...options });
}
