import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { findAction } from '../../../../proto/actions/catalogue.ts';
import type { JsonValue } from '../../../../proto/documents/fields.ts';
import { planSchema, type Plan } from '../../../../proto/documents/kinds/plan.ts';
import { GuardFolder } from '../../../guard/guard-folder.ts';
import { PLAN_FILE } from '../../../jobs/control-messages.ts';
import type { EndedRecord } from '../../../jobs/journal-record.ts';
import { JournalReader } from '../../../jobs/journal-reader.ts';
import { jobId } from '../../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';

const PROGRAM = join(import.meta.dirname, 'agent-in-network.ts');
const SERVER = '0b8f9c3e-52f1-4c55-8a39-6f0d5a1c7e21';

/**
 * Real jobs in the network of a test, on an /etc of their own. What agents of a whole product would say of a guard
 * (that the control plane is reached, that an engineer confirms) the test says itself.
 */
export class JobsInNetwork {
  readonly folder = mkdtempSync(join(tmpdir(), 'ivn-'));
  readonly etc = join(this.folder, 'etc');
  private readonly state = join(this.folder, 'state');
  private readonly network: readonly string[];
  private agent: ChildProcess | null = null;
  private readonly ends = new Map<string, EndedRecord>();
  private said = '';

  /** @param network argv that what follows runs in that network, see `TwoNetworks` */
  constructor(network: readonly string[]) {
    this.network = network;
    mkdirSync(this.state);
    execFileSync('cp', ['-a', '/etc', this.etc]);
    for (const name of [
      'nftables.conf',
      'iptables',
      'ufw',
      'default/ufw',
      'hosts.allow',
      'hosts.deny',
      'systemd/system',
    ]) {
      rmSync(join(this.etc, name), { recursive: true, force: true });
    }
    mkdirSync(join(this.etc, 'systemd/system'), { recursive: true });
  }

  write(path: string, text: string, mode = 0o644): void {
    const file = join(this.folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    chmodSync(file, mode);
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), 'utf8');
  }

  enable(unit: string): void {
    this.write(`/etc/systemd/system/multi-user.target.wants/${unit}`, '');
  }

  /** Names, modes, owners and content of everything in /etc; times of folders say nothing. */
  look(): string {
    const find = (...words: string[]) =>
      execFileSync('find', ['.', ...words], { cwd: this.etc, encoding: 'utf8' });
    const list =
      find('!', '-type', 'd', '-printf', String.raw`%p %y %m %U %G %s %l\n`) + find('-type', 'd');
    const sums = execFileSync(
      'sh',
      ['-c', 'find . -type f -print0 | sort -z | xargs -0 sha256sum'],
      {
        cwd: this.etc,
        encoding: 'utf8',
      },
    );
    return list.split('\n').toSorted().join('\n') + sums;
  }

  async startAgent(): Promise<void> {
    const script = 'mount --bind "$1" /etc; shift; exec "$@"';
    const inside = [
      'unshare',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-ec',
      script,
      'sh',
      this.etc,
    ];
    const [program, ...words] = [...this.network, ...inside, process.execPath, PROGRAM, this.state];
    const agent = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.agent = agent;
    agent.stderr.on('data', (text: Buffer) => void (this.said += text.toString()));
    let isReady = false;
    createInterface({ input: agent.stdout }).on('line', (line) => {
      const told = JSON.parse(line) as { ready?: true; job: string; ended: EndedRecord };
      if (told.ready === true) isReady = true;
      else this.ends.set(told.job, told.ended);
    });
    while (!isReady) {
      if (agent.exitCode !== null) throw new Error(`the agent ended: ${this.said}`);
      await sleep(10);
    }
  }

  /** As kill -9 would at any moment; runners live on. */
  async killAgent(): Promise<void> {
    this.agent?.kill('SIGKILL');
    while (this.agent !== null && this.agent.exitCode === null && this.agent.signalCode === null)
      await sleep(5);
    this.agent = null;
  }

  start(action: string, change: Partial<JobSpec>): string {
    const spec: JobSpec = {
      job: jobId(),
      server: SERVER,
      action,
      actionVersion: 1,
      mode: 'apply',
      parameters: {},
      target: null,
      plan: null,
      undoes: null,
      agentMode: 'resident',
      maxRuntimeSeconds: 600,
      onDisconnect: 'finish',
      spoolCapBytes: 16 * 1024 * 1024,
      ...change,
    };
    spec.parameters = findAction(action)!.parameters.parse(spec.parameters) as Record<
      string,
      JsonValue
    >;
    this.agent!.stdin!.write(`${JSON.stringify(spec)}\n`);
    return spec.job;
  }

  async end(job: string): Promise<EndedRecord> {
    for (;;) {
      const ended = this.ends.get(job);
      if (ended !== undefined) return ended;
      await sleep(10);
    }
  }

  /** Makes a plan and starts what it says. */
  async plan(
    action: string,
    parameters: Record<string, JsonValue>,
  ): Promise<{ plan: Plan; bytes: Buffer }> {
    const job = this.start(action, { mode: 'plan', parameters });
    const ended = await this.end(job);
    if (ended.outcome !== 'succeeded') throw new Error(`${ended.reason}: ${this.log(job)}`);
    const bytes = readFileSync(join(this.directory(job), PLAN_FILE));
    return { plan: planSchema.parse(JSON.parse(bytes.toString())), bytes };
  }

  async apply(action: string, parameters: Record<string, JsonValue>): Promise<string> {
    const { bytes } = await this.plan(action, parameters);
    return this.start(action, { parameters, plan: bytes.toString('base64') });
  }

  undo(
    action: string,
    parameters: Record<string, JsonValue>,
    undoes: string,
  ): Promise<EndedRecord> {
    return this.end(this.start(action, { mode: 'undo', parameters, undoes }));
  }

  /** Waits until everything is changed and only the confirmation is missing. */
  async changed(job: string): Promise<GuardFolder> {
    const guard = this.guard(job);
    while (!guard.isChanged) {
      const ended = this.ends.get(job);
      if (ended !== undefined) throw new Error(`ended: ${JSON.stringify(ended)} ${this.log(job)}`);
      await sleep(10);
    }
    return guard;
  }

  /** Carries a change out that the control plane is reached after and an engineer confirms. */
  async confirmed(
    action: string,
    parameters: Record<string, JsonValue>,
  ): Promise<{ job: string; ended: EndedRecord }> {
    const job = await this.apply(action, parameters);
    const guard = await this.changed(job);
    await guard.markReached();
    await guard.decide('kept');
    return { job, ended: await this.end(job) };
  }

  /** What the guardian waits for is over. */
  letTimeRunOut(job: string): void {
    writeFileSync(join(this.guard(job).path, 'deadline'), '0\n');
  }

  guard(job: string): GuardFolder {
    return new GuardFolder(this.directory(job));
  }

  directory(job: string): string {
    return join(this.state, 'jobs', job);
  }

  records(job: string): JournalReader['records'] {
    const reader = new JournalReader(this.directory(job));
    reader.refresh();
    return reader.records;
  }

  runnerPid(job: string): number {
    const record = readFileSync(join(this.state, 'runners', job), 'utf8');
    return (JSON.parse(record.slice(record.indexOf('{'))) as Record<string, number>)['child-pid']!;
  }

  guardianPid(job: string): number {
    return Number(readFileSync(join(this.guard(job).path, 'watched'), 'utf8'));
  }

  /** What the job said, as bytes of its spool; good enough to look for words. */
  log(job: string): string {
    const spool = join(this.directory(job), 'spool');
    return existsSync(spool) ? readFileSync(spool, 'latin1') : '';
  }

  async close(): Promise<void> {
    await this.killAgent();
    for (const job of this.ends.size === 0
      ? []
      : execFileSync('ls', [join(this.state, 'jobs')], { encoding: 'utf8' })
          .split('\n')
          .filter(Boolean)) {
      try {
        if (this.ends.has(job)) continue;
        process.kill(this.runnerPid(job), 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
