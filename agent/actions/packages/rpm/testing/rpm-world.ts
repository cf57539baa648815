import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { PackagesResult } from '../../../../../proto/actions/packages.ts';
import { planSchema, type Plan } from '../../../../../proto/documents/kinds/plan.ts';
import { must, run, type Finished } from '../../../../../test/harness/process.ts';
import { buildRpms, type RpmSpec } from './build-rpms.ts';
import type { Act } from './act-on-packages.ts';

const SERVER = '0b8f9c3e-52f1-4c55-8a39-6f0d5a1c7e21';
const PROGRAM = join(import.meta.dirname, 'act-on-packages.ts');
const OS_RELEASE = {
  dnf: 'ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\nPLATFORM_ID="platform:el9"\n',
  zypper:
    'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\nCPE_NAME="cpe:/o:opensuse:leap:15.6"\nNAME="openSUSE Leap"\nVERSION="15.6"\nPRETTY_NAME="openSUSE Leap 15.6"\n',
};

/** What a program in the world said of an act. */
export interface Acted {
  plan?: Plan;
  end?: { succeeded: boolean; reason: string | null; result: PackagesResult };
  refused?: { reason: string; message: string };
  notes: string[];
  progress: string[];
  job: string;
}

/**
 * This machine's files under a throw-away overlay in memory, with a record of rpm of their own that knows next to
 * nothing, and a repository of the test's. Real dnf, zypper and rpm work in it. Needs root.
 */
export class RpmWorld {
  readonly repository = mkdtempSync(join(tmpdir(), 'iv-rpm-'));
  private readonly holder: ChildProcess;
  private readonly root: string;

  private constructor(holder: ChildProcess, root: string) {
    this.holder = holder;
    this.root = root;
  }

  static async start(program: 'dnf' | 'zypper'): Promise<RpmWorld> {
    const place = mkdtempSync(join(tmpdir(), 'iv-world-'));
    const project = join(import.meta.dirname, '../../../../..');
    const script = [
      'set -e',
      'mount -t tmpfs none "$1"; cd "$1"; mkdir up work root',
      'mount -t overlay none -o lowerdir=/,upperdir=up,workdir=work root',
      'mount --rbind /dev root/dev; mount --rbind /sys root/sys; mount -t proc none root/proc',
      // What may lie on file systems of their own: the project, node, and the folder of repositories.
      'for at in "$2" "$(realpath "$2/node_modules")" "$(dirname "$3")" "$4"; do',
      '  mkdir -p "root$at"; mount --rbind "$at" "root$at"; done',
      'mkdir -p root/var/tmp; mount -t tmpfs none root/var/tmp',
      'echo ready; exec sleep infinity',
    ].join('\n');
    const holder = spawn(
      'unshare',
      ['--mount', 'bash', '-c', script, 'world', place, project, process.execPath, tmpdir()],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [ready] = (await once(holder.stdout, 'data')) as [Buffer];
    if (ready.toString() !== 'ready\n') throw new Error(`no world: ${ready.toString()}`);
    const world = new RpmWorld(holder, join(place, 'root'));
    await world.sh(
      [
        'rm -rf /etc/os-release /etc/yum.repos.d /etc/zypp/repos.d /var/lib/dnf /var/cache/dnf',
        'rm -rf /var/lib/rpm /etc/debian_version /var/lib/zypp',
        'mkdir -p /etc/yum.repos.d /etc/zypp/repos.d /etc/rpm',
        "printf '%%_dbpath /var/lib/rpm\\n' > /etc/rpm/macros",
        'rpm --initdb',
      ].join('; '),
    );
    await world.write('/etc/os-release', OS_RELEASE[program]);
    const source = `[tests]\nname=tests\nbaseurl=file://${world.repository}\nenabled=1\ngpgcheck=0\n`;
    await world.write('/etc/yum.repos.d/tests.repo', source);
    await world.write('/etc/zypp/repos.d/tests.repo', source);
    await world.publish();
    return world;
  }

  /** Adds packages to the repository. */
  async publish(...specs: RpmSpec[]): Promise<void> {
    await buildRpms(this.repository, specs);
    await must(['createrepo_c', '--quiet', this.repository]);
  }

  /** Takes a version out of the repository. */
  async withdraw(file: string): Promise<void> {
    rmSync(join(this.repository, file));
    await must(['createrepo_c', '--quiet', this.repository]);
  }

  run(argv: readonly string[], input = ''): Promise<Finished> {
    return run(this.argv(argv), { input });
  }

  async sh(script: string): Promise<string> {
    const done = await this.run(['bash', '-ec', script]);
    if (done.status !== 0) throw new Error(`${script}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  }

  async write(path: string, text: string): Promise<void> {
    await this.run(['bash', '-ec', 'mkdir -p "$(dirname "$1")"; cat > "$1"', 'sh', path], text);
  }

  async read(path: string): Promise<string | null> {
    const done = await this.run(['cat', path]);
    return done.status === 0 ? done.stdout : null;
  }

  /** Every package of rpm's record, sorted. */
  async installed(): Promise<string[]> {
    return (await this.sh('rpm -qa | sort')).trim().split('\n');
  }

  plan(action: string, parameters: Act['parameters']): Promise<Acted> {
    return this.act({ mode: 'plan', action, parameters });
  }

  apply(action: string, parameters: Act['parameters'], plan: Plan): Promise<Acted> {
    return this.act({ mode: 'apply', action, parameters, plan });
  }

  undo(action: string, undoes: string): Promise<Acted> {
    return this.act({ mode: 'undo', action, undoes });
  }

  /** An apply that is killed, with all that it runs, once a file is there. Returns its job. */
  async applyUntil(
    path: string,
    action: string,
    parameters: Act['parameters'],
    plan: Plan,
  ): Promise<string> {
    const act = filled({ mode: 'apply', action, parameters, plan });
    const child = spawn(...this.spawned([process.execPath, PROGRAM]));
    child.stdin!.end(JSON.stringify(act));
    const ended = once(child, 'close');
    await this.sh(`for i in $(seq 600); do [ -e ${path} ] && exit; sleep 0.1; done; exit 1`);
    child.kill('SIGKILL');
    await ended;
    return act.job;
  }

  private async act(parts: Partial<Act> & Pick<Act, 'mode' | 'action'>): Promise<Acted> {
    const act = filled(parts);
    const done = await this.run([process.execPath, PROGRAM], JSON.stringify(act));
    if (done.status !== 0) throw new Error(done.stderr);
    const acted = { ...(JSON.parse(done.stdout) as Omit<Acted, 'job'>), job: act.job };
    // Whatever an agent plans must be a plan that it could sign.
    const { action, parameters } = act;
    const fixed = { server: SERVER, action, actionVersion: 1, parameters };
    if (acted.plan !== undefined) acted.plan = planSchema.parse({ ...fixed, ...acted.plan });
    return acted;
  }

  private spawned(argv: readonly string[]): [string, string[], { stdio: 'pipe' }] {
    const [program, ...words] = this.argv(argv);
    return [program!, words, { stdio: 'pipe' }];
  }

  /** In a pid namespace of its own: whoever kills what this starts kills everything it started. */
  private argv(argv: readonly string[]): string[] {
    return [
      ...['nsenter', `--mount=/proc/${this.holder.pid}/ns/mnt`],
      ...['unshare', '--pid', '--fork', '--kill-child', `--mount-proc=${this.root}/proc`],
      ...['chroot', this.root, ...argv],
    ];
  }

  async close(): Promise<void> {
    const ended = once(this.holder, 'exit');
    this.holder.kill('SIGKILL');
    await ended;
    rmSync(dirname(this.root), { recursive: true, force: true });
    rmSync(this.repository, { recursive: true, force: true });
  }
}

function filled(parts: Partial<Act> & Pick<Act, 'mode' | 'action'>): Act {
  return { job: randomUUID(), parameters: {}, plan: null, undoes: null, ...parts };
}
