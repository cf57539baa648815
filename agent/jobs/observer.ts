import { execFile, type ChildProcess } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OBSERVED_ALL, OBSERVED_FOLDER, observationFile, type Observation } from './observation.ts';
import { observerSpecs, type ObserverPower, type ObserverSpec } from './observations.ts';
import { HOST_WIDE } from './sandbox.ts';

const PROGRAM_FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const LIMIT_MS = 3_000;
/** What is killed in its first moments may leave a child behind, and an agent may die: it ends all the same. */
const END_BY_ITSELF = ['/usr/bin/timeout', '--signal=KILL', '5'];
const OUT_MAX_BYTES = 512 * 1024;
const ERR_MAX_CHARACTERS = 2_000;
const AT_ONCE = 4;

/** Where the observations of one job go: outside of what any job can write. */
export function observedFolder(stateDirectory: string, job: string): string {
  return join(stateDirectory, OBSERVED_FOLDER, job);
}

/** The same for all jobs that are gone. */
export async function forgetObservations(
  stateDirectory: string,
  keep: (job: string) => boolean,
): Promise<void> {
  const folder = join(stateDirectory, OBSERVED_FOLDER);
  const jobs = await readdir(folder).catch((): string[] => []);
  for (const job of jobs.filter((name) => !keep(name))) {
    await rm(join(folder, job), { recursive: true, force: true });
  }
}

/**
 * Looks, for one job, at what needs more power than a runner may have: programs of a fixed list with fixed
 * words, each in a sandbox of its own with what its line of the list names. What they print goes into files
 * that the job's runner can read.
 */
export class Observer {
  private readonly folder: string;
  private readonly bwrapPath: string;
  private readonly running = new Set<ChildProcess>();
  private isStopped = false;
  private observing: Promise<unknown> = Promise.resolve();

  constructor(folder: string, bwrapPath: string) {
    this.folder = folder;
    this.bwrapPath = bwrapPath;
  }

  /** Makes the folder that the sandbox of the runner shows. */
  async prepare(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
  }

  /** Resolves when everything was looked at, or `stop` was called. */
  async observe(specs?: readonly ObserverSpec[]): Promise<void> {
    const waiting = [...(specs ?? (await observerSpecs()))];
    const work = async () => {
      for (let spec = waiting.shift(); spec !== undefined; spec = waiting.shift()) {
        if (this.isStopped) return;
        const seen = await this.look(spec);
        if (!this.isStopped) await this.store(observationFile(spec.name), JSON.stringify(seen));
      }
    };
    this.observing = Promise.all(Array.from({ length: AT_ONCE }, work));
    await this.observing;
    if (!this.isStopped) await this.store(OBSERVED_ALL, '');
  }

  /** Ends what still looks, and forgets what was seen. */
  async stop(): Promise<void> {
    this.isStopped = true;
    for (const child of this.running) child.kill('SIGKILL');
    await this.observing.catch(() => undefined);
    await rm(this.folder, { recursive: true, force: true });
  }

  private async look(spec: ObserverSpec): Promise<Observation> {
    const { argv, powers } = spec;
    const command = (argv ?? []).join(' ').slice(0, 1000);
    const nothing = { exitStatus: null, out: '', err: '', command };
    if (argv === null) return { ...nothing, problem: 'not_applicable' };
    const program = findProgram(argv[0]!);
    if (program === null) return { ...nothing, problem: 'not_found' };
    const words = [...observerArguments(powers), '--', ...END_BY_ITSELF, program, ...argv.slice(1)];
    return new Promise((resolve) => {
      const child = execFile(
        this.bwrapPath,
        words,
        {
          cwd: '/',
          env: {},
          encoding: 'utf8',
          timeout: LIMIT_MS,
          killSignal: 'SIGKILL',
          maxBuffer: OUT_MAX_BYTES,
        },
        (error, out, err) => {
          this.running.delete(child);
          const exitStatus = error === null ? 0 : exitStatusOf(error);
          const problem = error === null ? null : problemOf(error, exitStatus);
          resolve({ exitStatus, problem, out, err: err.slice(0, ERR_MAX_CHARACTERS), command });
        },
      );
      this.running.add(child);
      child.stdin?.end();
    });
  }

  private async store(name: string, text: string): Promise<void> {
    try {
      const draft = join(this.folder, `.${name}`);
      await writeFile(draft, text, { mode: 0o600 });
      await rename(draft, join(this.folder, name));
    } catch (error) {
      // A full disk, or the folder is gone with its job: whoever waits for it says so.
      if (!this.isStopped && (error as NodeJS.ErrnoException).code === undefined) throw error;
    }
  }
}

/** Arguments of bubblewrap for one observation: the root read-only, and nothing that it does not name. */
export function observerArguments(powers: readonly ObserverPower[]): string[] {
  const has = (power: ObserverPower) => powers.includes(power);
  const shown = [
    ...(has('systemd') ? ['/run/systemd/private', '/run/systemd/system'] : []),
    ...(has('devices') ? ['/run/udev/data'] : []),
  ].filter((path) => existsSync(path));
  return [
    ['--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    // systemctl as root has to see who is at the other end of systemd's own socket.
    has('systemd') ? [] : ['--unshare-pid'],
    has('network') ? [] : ['--unshare-net'],
    ['--die-with-parent', '--new-session'],
    ['--ro-bind', '/', '/'],
    ['--proc', '/proc'],
    ...HOST_WIDE.map((path) => ['--ro-bind-try', path, path]),
    has('devices') ? ['--dev-bind', '/dev', '/dev'] : ['--dev', '/dev'],
    ['--tmpfs', '/run'],
    ...shown.map((path) => ['--ro-bind', path, path]),
    ['--cap-drop', 'ALL'],
    ...powers.filter((power) => power.startsWith('CAP_')).map((name) => ['--cap-add', name]),
    ['--clearenv', '--setenv', 'PATH', PROGRAM_FOLDERS.join(':'), '--setenv', 'LC_ALL', 'C.UTF-8'],
    ['--setenv', 'SYSTEMD_COLORS', '0', '--setenv', 'SYSTEMD_PAGER', ''],
    ['--chdir', '/'],
  ].flat();
}

function findProgram(name: string): string | null {
  for (const folder of PROGRAM_FOLDERS) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there.
    }
  }
  return null;
}

type Failure = Error & { code?: number | string | null; killed?: boolean };

function exitStatusOf(error: Failure): number | null {
  return typeof error.code === 'number' ? error.code : null;
}

function problemOf(error: Failure, exitStatus: number | null): Observation['problem'] {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'too_long';
  if (exitStatus !== null) return null;
  return error.killed ? 'timed_out' : 'not_started';
}
