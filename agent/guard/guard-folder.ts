import { lstatSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from '../connection/durable-file.ts';

/** What is to become of a guarded change; the first word counts, whoever says it. */
export type GuardDecision = 'kept' | 'rolled_back';

/** A file as it was before the job, to be put back without needing room on any disk. */
export interface GuardedFile {
  path: string;
  /** Whole copy with all attributes, beside the file; null where there was no file. */
  old: string | null;
  /** Folders that the job makes for it, the outermost first. */
  madeFolders: readonly string[];
  /** What a job that was killed in the middle of its change may leave beside the file. */
  draft: string;
}

/** What puts everything back as it was; each part may be done twice. */
export interface WayBack {
  files: readonly GuardedFile[];
  /** Run in this order when the files are back. A word holds no line end. */
  commands: readonly (readonly string[])[];
  /** The same after a reboot, before any network is set up. */
  bootCommands: readonly (readonly string[])[];
  /** Unit that starts the guardian again at boot; null where no systemd runs. */
  unit: string | null;
}

/** How a guarded change ended. */
export interface GuardEnd {
  decision: GuardDecision;
  /** Whether every file is as it was before. */
  areFilesBack: boolean;
  /** Of each command, in its order. */
  exitStatuses: readonly number[];
}

/** Below the folder of the job; in the second one until all of it is on disk. */
export const GUARD_FOLDER = 'guard';
const NEW_FOLDER = 'guard.new';
export const GUARDIAN = 'guardian';
/** Scripts beside the guardian that its commands may run. */
const HELPERS = ['remove-nft-rule'];
/** All that whoever decides must be able to write. */
export const DECISION_FOLDER = 'decision';
const DECISION = 'is';
/** Marks without content. */
const PREPARED = 'prepared';
const WATCHED = 'watched';
const CHANGED = 'changed';
const REACHED = 'reached';
const ENDED = 'ended';

/**
 * The folder `guard` of a job: a guardian (`guardian.sh`), what it puts back, until when, and what was decided.
 * Runner, agent, guardian and whoever confirms meet only here, so that each of them may die.
 */
export class GuardFolder {
  readonly path: string;
  private readonly jobDirectory: string;

  constructor(jobDirectory: string) {
    this.jobDirectory = jobDirectory;
    this.path = join(jobDirectory, GUARD_FOLDER);
  }

  /**
   * Writes everything down; it is on disk when this returns, but not yet in force. The old files need not be
   * there yet.
   */
  async prepare(wayBack: WayBack, withinSeconds: number): Promise<void> {
    const folder = join(this.jobDirectory, NEW_FOLDER);
    await mkdir(join(folder, DECISION_FOLDER), { recursive: true, mode: 0o700 });
    await writeSynced(join(folder, GUARDIAN), readFileSync(scriptPath(GUARDIAN)));
    for (const name of HELPERS)
      await writeSynced(join(folder, name), readFileSync(scriptPath(name)));
    await writeSynced(join(folder, 'boot'), bootId());
    await writeSynced(join(folder, 'deadline'), `${Math.floor(uptimeSeconds() + withinSeconds)}\n`);
    if (wayBack.unit !== null) await writeSynced(join(folder, 'unit'), lines([wayBack.unit]));
    for (const name of ['files', 'commands', 'boot-commands']) await mkdir(join(folder, name));
    for (const [index, { path, old, madeFolders, draft }] of wayBack.files.entries()) {
      const file = join(folder, 'files', number(index));
      await mkdir(file);
      await writeSynced(join(file, 'path'), lines([path]));
      if (old !== null) await writeSynced(join(file, 'old'), lines([old]));
      await writeSynced(join(file, 'draft'), lines([draft]));
      await writeSynced(join(file, 'folders'), lines(madeFolders.toReversed()));
      await syncDirectory(file);
    }
    for (const [name, commands] of [
      ['commands', wayBack.commands],
      ['boot-commands', wayBack.bootCommands],
    ] as const) {
      for (const [index, argv] of commands.entries()) {
        await writeSynced(join(folder, name, number(index)), lines(argv));
      }
      await syncDirectory(join(folder, name));
    }
    await syncDirectory(join(folder, 'files'));
    await writeSynced(join(folder, PREPARED), '');
    await syncDirectory(folder);
    await syncDirectory(this.jobDirectory);
  }

  /** From now on a guardian puts back what `prepare` wrote down. Durable when it returns. */
  async arm(): Promise<void> {
    await rename(join(this.jobDirectory, NEW_FOLDER), this.path);
    await syncDirectory(this.jobDirectory);
  }

  /** Takes away what was prepared and is not in force. */
  async drop(): Promise<void> {
    await rm(join(this.jobDirectory, NEW_FOLDER), { recursive: true, force: true });
  }

  /** Puts what a runner that died had prepared in force, so that its guardian clears it away. */
  async armPrepared(): Promise<void> {
    if (isThere(join(this.jobDirectory, NEW_FOLDER, PREPARED))) await this.arm();
    // Nothing beside a file of the server was written yet.
    else await this.drop();
  }

  get isArmed(): boolean {
    return this.has(GUARDIAN);
  }

  get isWatched(): boolean {
    return this.has(WATCHED);
  }

  /** Everything is changed: what follows is the wait for a decision. */
  get isChanged(): boolean {
    return this.has(CHANGED);
  }

  /** The control plane has been reached by a connection that was begun after the change. */
  get isReached(): boolean {
    return this.has(REACHED);
  }

  get decision(): GuardDecision | null {
    try {
      const said = readlinkSync(join(this.path, DECISION_FOLDER, DECISION));
      return said === 'kept' ? 'kept' : 'rolled_back';
    } catch {
      return null;
    }
  }

  /** How long the guardian waits for a decision; 0 when it is over, or of another boot. */
  get secondsLeft(): number {
    try {
      if (readFileSync(join(this.path, 'boot'), 'utf8') !== bootId()) return 0;
      const deadline = Number(readFileSync(join(this.path, 'deadline'), 'utf8'));
      return Math.max(0, deadline - uptimeSeconds());
    } catch {
      return 0;
    }
  }

  /** Null while the guardian is not done. */
  get end(): GuardEnd | null {
    try {
      return readEnd(readFileSync(join(this.path, ENDED), 'utf8'));
    } catch {
      return null;
    }
  }

  markChanged(): Promise<void> {
    return this.mark(CHANGED);
  }

  markReached(): Promise<void> {
    return this.mark(REACHED);
  }

  /** Decides, durably, unless somebody has; returns what counts. */
  async decide(decision: GuardDecision): Promise<GuardDecision> {
    const folder = join(this.path, DECISION_FOLDER);
    try {
      symlinkSync(decision, join(folder, DECISION));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    await syncDirectory(folder);
    return this.decision!;
  }

  private has(name: string): boolean {
    return isThere(join(this.path, name));
  }

  private async mark(name: string): Promise<void> {
    // Never through a link: whoever marks may write more than whoever could have made one.
    await writeFile(join(this.path, name), '', { flag: 'wx', mode: 0o600 }).catch(ignoreExisting);
  }
}

/** Seconds since the kernel was started; the clock that a deadline is of. */
export function uptimeSeconds(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ', 1)[0]);
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
}

/** Beside this file in the sources, and in the folder of the program where all files lie in one. */
export function scriptPath(name: string): string {
  return join(import.meta.dirname, `${name}.sh`);
}

/** A command of which the first word may be the name of a script that lies with the guardian. */
export function helperCommand(argv: readonly string[], script = scriptPath): string[] {
  const [program = '', ...rest] = argv;
  return HELPERS.includes(program) ? ['/bin/sh', script(program), ...rest] : [...argv];
}

async function writeSynced(path: string, content: string | Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What the guardian reads line by line. */
function lines(words: readonly string[]): string {
  const broken = words.find((word) => /[\n\0]/.test(word));
  if (broken !== undefined) throw new TypeError(`${JSON.stringify(broken)} is more than a line`);
  return words.map((word) => `${word}\n`).join('');
}

/** By which the guardian takes them in order. */
function number(index: number): string {
  return String(index).padStart(3, '0');
}

/** As `guardian.sh` reports it. Throws when it is no report. */
function readEnd(text: string): GuardEnd {
  const [decision, ...rest] = text.trimEnd().split('\n');
  if (decision !== 'kept' && decision !== 'rolled_back') throw new TypeError('no report');
  const statuses = rest.map((line) => Number(line.split(' ').at(-1)));
  const isFiles = (line: string) => line.startsWith('files ');
  return {
    decision,
    areFilesBack: statuses[rest.findIndex(isFiles)] === 0,
    exitStatuses: statuses.filter((_, at) => !isFiles(rest[at]!)),
  };
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}
