import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { debianTree, type DebianRelease } from './debian-tree.ts';
import { forwardPort } from './network-relay.ts';
import { Daemon, eventually, must, run } from './process.ts';
import type { Finished } from './process.ts';

export interface BootOptions {
  /** Debian packages besides those every tree has. */
  packages?: readonly string[];
  /** Debian 12 unless given. */
  release?: DebianRelease;
  /** Folders or files of this machine to show inside, read-only, by their place there. */
  show?: Readonly<Record<string, string>>;
  /** The same, writable. */
  share?: Readonly<Record<string, string>>;
  /** Further arguments of systemd-nspawn. */
  nspawn?: readonly string[];
}

const CGROUPS = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified', '/sys/fs/cgroup'];

/**
 * A Debian with a real systemd as process 1, booted by systemd-nspawn from a kept tree over which
 * everything it writes lies in memory: it starts clean each time, and keeps it over its own reboots. It has a network namespace of its own
 * with nothing but a loopback device. Memory limits of units are not enforced in it.
 */
export class BootedDebian {
  readonly name = `iv-${randomBytes(4).toString('hex')}`;
  readonly folder = mkdtempSync(path.join(tmpdir(), 'iv-boot-'));
  private readonly nspawn: Daemon;
  private readonly cgroups: readonly string[];
  private readonly relays: (() => Promise<void>)[] = [];
  private leaderPid = 0;

  private constructor(tree: string, options: BootOptions) {
    this.cgroups = cgroupParents().map((parent) => path.join(parent, this.name));
    const binds = [
      ...Object.entries(options.show ?? {}).map(([to, from]) => `--bind-ro=${from}:${to}`),
      ...Object.entries(options.share ?? {}).map(([to, from]) => `--bind=${from}:${to}`),
    ];
    const { folder } = this;
    // systemd-nspawn wants a /run in memory, and a control group that nobody else uses. With status 133 it asks to
    // be started again: the system inside has asked for a reboot, and finds what it wrote.
    const script = [
      ...this.cgroups.map((group) => `echo $$ > ${group}/cgroup.procs`),
      'mount -t tmpfs tmpfs /run',
      `mkdir ${folder}/memory ${folder}/root`,
      `mount -t tmpfs tmpfs ${folder}/memory`,
      `mkdir ${folder}/memory/upper ${folder}/memory/work`,
      `mount -t overlay -o lowerdir=${tree},upperdir=${folder}/memory/upper,workdir=${folder}/memory/work overlay ${folder}/root`,
      'status=133',
      `while [ $status = 133 ] || [ -e ${folder}/cut ]; do`,
      `  rm -f ${folder}/cut; status=0; systemd-nspawn "$@" || status=$?`,
      'done',
      'exit $status',
    ].join('\n');
    this.nspawn = new Daemon(
      [
        ...['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh'],
        ...['--quiet', '--register=no', '--keep-unit', '--console=read-only', '--boot'],
        ...['--directory', `${folder}/root`, '--machine', this.name],
        ...[`--network-namespace-path=/proc/${process.pid}/root/run/netns/${this.name}`],
        ...['--capability=all', ...binds, ...(options.nspawn ?? [])],
      ],
      path.join(this.folder, 'console.log'),
    );
  }

  static async start(options: BootOptions = {}): Promise<BootedDebian> {
    const booted = new BootedDebian(await debianTree(options.packages, options.release), options);
    try {
      await booted.boot();
    } catch (error) {
      const told = booted.withConsole(error as Error);
      await booted.close();
      throw told;
    }
    return booted;
  }

  private async boot(): Promise<void> {
    for (const group of this.cgroups) mkdirSync(group, { recursive: true });
    await must(['ip', 'netns', 'add', this.name]);
    await must(['ip', '-n', this.name, 'link', 'set', 'lo', 'up']);
    this.nspawn.start();
    await this.isUp();
  }

  /** Takes the power away, and gives it back: everything inside dies at once. */
  async powerCut(): Promise<void> {
    writeFileSync(path.join(this.folder, 'cut'), '');
    process.kill(this.leaderPid, 'SIGKILL');
    await this.cameBack();
  }

  /** Waits until the system inside has come back from a reboot that somebody has asked it for. */
  async cameBack(): Promise<void> {
    const before = this.leaderPid;
    try {
      await eventually('a reboot', () => leaderOf(this.nspawn.pid) !== before, 120_000);
      await this.isUp();
    } catch (error) {
      throw this.withConsole(error as Error);
    }
  }

  private withConsole(error: Error): Error {
    const said = readFileSync(path.join(this.folder, 'console.log'), 'utf8').slice(-4000);
    return new Error(`${error.message}\nthe console said:\n${said}`, { cause: error });
  }

  private async isUp(): Promise<void> {
    this.leaderPid = await eventually('a first process', () => leaderOf(this.nspawn.pid), 60_000);
    await eventually(
      'systemd is up',
      async () => {
        const { stdout } = await this.exec(['systemctl', 'is-system-running']);
        return ['running', 'degraded'].includes(stdout.trim());
      },
      120_000,
    );
  }

  /** Its process 1, seen from here. */
  get leader(): number {
    return this.leaderPid;
  }

  /** Its root folder, seen from here; also what it wrote. */
  get root(): string {
    return `/proc/${this.leaderPid}/root`;
  }

  /** Put before an argv, runs that program of this machine in the network of the booted one. */
  get inItsNetwork(): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this.name}`, '--'];
  }

  /** Runs a program inside, as root, with a clean environment. */
  async exec(
    argv: readonly string[],
    options: { input?: string; timeoutMs?: number } = {},
  ): Promise<Finished> {
    return run([...this.argvOf(argv)], options);
  }

  /** The argv that runs another argv inside. */
  argvOf(argv: readonly string[]): readonly string[] {
    const namespaces = ['-m', '-u', '-i', '-p', '-n', '-C', '-r', '-w'];
    const searchPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    const clean = ['/usr/bin/env', '-i', searchPath, 'HOME=/root', 'LANG=C.UTF-8'];
    return ['nsenter', '-t', String(this.leaderPid), ...namespaces, '--', ...clean, ...argv];
  }

  /** `exec`, and anything but exit status 0 throws. */
  async ok(
    argv: readonly string[],
    options: { input?: string; timeoutMs?: number } = {},
  ): Promise<string> {
    const done = await this.exec(argv, options);
    if (done.status !== 0) {
      throw new Error(`${argv.join(' ')} ended with ${done.status}:\n${done.stdout}${done.stderr}`);
    }
    return done.stdout;
  }

  /** Writes a file inside; folders above it are made. */
  async write(file: string, text: string, mode = '0644'): Promise<void> {
    await this.ok(['mkdir', '-p', path.dirname(file)]);
    await this.ok(['dd', `of=${file}`, 'status=none'], { input: text });
    await this.ok(['chmod', mode, file]);
  }

  /** From now on 127.0.0.1:`port` inside leads to 127.0.0.1:`port` of this machine. */
  async reachHost(port: number): Promise<void> {
    this.relays.push(await forwardPort(this.inItsNetwork, port, this.folder));
  }

  async close(): Promise<void> {
    for (const end of this.relays) await end();
    if (this.leaderPid !== 0) {
      try {
        process.kill(this.leaderPid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await this.nspawn.end('SIGTERM');
    await run(['ip', 'netns', 'delete', this.name]);
    for (const group of this.cgroups) removeGroup(group);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The hierarchies that hold processes here: systemd's own and the unified one, or the unified one alone. */
function cgroupParents(): string[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const mounted = new Set(lines.map((line) => line.split(' ')[1]));
  const hybrid = CGROUPS.slice(0, 2).filter((folder) => mounted.has(folder));
  return hybrid.length > 0 ? hybrid : CGROUPS.slice(2);
}

function leaderOf(shell: number): number | undefined {
  return childrenOf(shell)
    .flatMap(childrenOf)
    .find((pid) => /^systemd$|^init$/.test(commandOf(pid)));
}

function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return children === '' ? [] : children.split(' ').map(Number);
  } catch {
    return [];
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

function removeGroup(folder: string): void {
  let entries: string[];
  try {
    entries = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => path.join(folder, entry.name));
  } catch {
    return;
  }
  entries.forEach(removeGroup);
  try {
    rmdirSync(folder);
  } catch {
    // A process is still ending in it; an empty group harms nobody.
  }
}
