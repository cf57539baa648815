import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { CutProxy } from './cut-proxy.ts';
import { Daemon, run } from './process.ts';
import type { Finished } from './process.ts';
import { interveneProgram, StackPeople } from './stack-people.ts';

const root = path.resolve(import.meta.dirname, '../..');
export const agentProgram = path.join(root, 'scripts/intervene-agent');

export const OPEN_POLICY = [
  'version = 1',
  'allow = ["*"]',
  'highest-class = "C"',
  'allow-steps-without-undo = true',
  '',
].join('\n');

export interface StackOptions {
  policy?: string;
  /** Starts a proxy that the agent dials instead of the control plane. */
  throughProxy?: (port: number) => Promise<CutProxy>;
  agentConfig?: Record<string, string | number>;
  /** `none`: no agent is enrolled or started here; the server runs elsewhere. */
  agent?: 'none';
}

export interface Enrollment {
  token: string;
  agentAddress: string;
  caPin: string;
  rootDigest: string;
  accountKeysDigest: string;
}

/**
 * A whole installation on this machine: control plane with its own PostgreSQL, an operator with a root of
 * trust, a lead engineer `erin`, an account `acme` with the client `carol`, a server `web-04`. Everything
 * is done by the two programs, as people do it.
 */
export class Stack extends StackPeople {
  readonly httpPort: number;
  readonly agentPort: number;
  readonly controlPlane: Daemon;
  agent: Daemon;
  proxy: CutProxy | undefined;
  private readonly options: StackOptions;

  private constructor(folder: string, httpPort: number, agentPort: number, options: StackOptions) {
    super(folder, `http://127.0.0.1:${httpPort}`);
    this.httpPort = httpPort;
    this.agentPort = agentPort;
    this.options = options;
    this.controlPlane = new Daemon(
      [
        interveneProgram,
        'up',
        '--data',
        this.data,
        '--listen',
        `127.0.0.1:${httpPort}`,
        '--agent-listen',
        `127.0.0.1:${agentPort}`,
      ],
      path.join(folder, 'control-plane.log'),
    );
    this.agent = this.agentDaemon();
  }

  static async start(options: StackOptions = {}): Promise<Stack> {
    const folder = mkdtempSync(path.join(tmpdir(), 'iv-'));
    const stack = new Stack(folder, await freePort(), await freePort(), options);
    try {
      await stack.bring();
    } catch (error) {
      const log = readFileSync(path.join(folder, 'control-plane.log'), 'utf8').slice(-4000);
      await stack.close();
      throw new Error(`${(error as Error).message}\ncontrol plane said:\n${log}`, { cause: error });
    }
    return stack;
  }

  get data(): string {
    return path.join(this.folder, 'data');
  }

  get state(): string {
    return path.join(this.folder, 'agent');
  }

  get agentFiles(): string[] {
    return [
      '--config',
      path.join(this.folder, 'agent.toml'),
      '--state',
      this.state,
      '--policy',
      path.join(this.folder, 'policy.toml'),
    ];
  }

  agentDaemon(): Daemon {
    return new Daemon(
      [agentProgram, 'run', ...this.agentFiles],
      path.join(this.folder, 'agent.log'),
    );
  }

  private async bring(): Promise<void> {
    this.proxy = await this.options.throughProxy?.(this.agentPort);
    this.controlPlane.start();
    await this.ready();
    await this.ok(
      'lead',
      'init',
      this.url,
      '--engineer',
      'erin',
      '--admin-token-file',
      `${this.data}/admin-token`,
      '--no-passphrase',
    );
    await this.ok('admin', 'login', this.url, '--token-file', `${this.data}/admin-token`);
    await this.ok('admin', 'accounts', 'add', 'acme');
    await this.addClient('carol', 'acme');
    await this.ok('lead', 'servers', 'add', 'web-04', '--account', 'acme');
    writeFileSync(path.join(this.folder, 'policy.toml'), this.options.policy ?? OPEN_POLICY, {
      mode: 0o600,
    });
    if (this.options.agent === 'none') return;
    await this.enrollAgent();
    this.agent.start();
    await this.connected();
  }

  /** Invites a client, logs in, makes keys. */
  async addClient(name: string, account: string): Promise<void> {
    await this.invite(name, '--role', 'client', '--account', account);
    await this.ok(
      name,
      'keys',
      'create',
      '--no-passphrase',
      '--recovery-out',
      path.join(this.folder, `${name}.recovery`),
    );
  }

  /** Invites somebody of the provider and logs in; the lead certifies an engineer for half a day. */
  async addPerson(name: string, role: 'engineer' | 'lead' | 'auditor'): Promise<void> {
    await this.invite(name, '--role', role);
    if (role === 'auditor') return;
    await this.ok(name, 'keys', 'create', '--no-passphrase');
    const file = path.join(this.folder, `${name}.pub`);
    writeFileSync(file, await this.ok(name, 'keys', 'export'));
    const lead = role === 'lead' ? ['--lead'] : [];
    await this.ok('lead', 'engineers', 'add', name, '--key-file', file, ...lead);
  }

  /** Invites a person as administrator, and logs in with a profile of the same name. */
  private async invite(name: string, ...options: string[]): Promise<void> {
    const invited = await this.json<{ invitation: string }>(
      'admin',
      'people',
      'invite',
      name,
      ...options,
    );
    const file = path.join(this.folder, `${name}.invitation`);
    writeFileSync(file, invited.invitation, { mode: 0o600 });
    await this.ok(name, 'login', this.url, '--invitation-file', file);
  }

  async enrollAgent(): Promise<void> {
    const enrollment = await this.json<Enrollment>(
      'carol',
      'enroll',
      'web-04',
      '--mode',
      'resident',
    );
    const tokenFile = path.join(this.folder, 'token');
    writeFileSync(tokenFile, enrollment.token, { mode: 0o600 });
    mkdirSync(this.state, { recursive: true, mode: 0o700 });
    const dials = `127.0.0.1:${this.proxy?.port ?? this.agentPort}`;
    const settings = { 'control-plane': [dials], ...this.options.agentConfig };
    writeFileSync(
      path.join(this.folder, 'agent.toml'),
      Object.entries(settings)
        .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
        .join(''),
      { mode: 0o600 },
    );
    const done = await run([
      agentProgram,
      'enroll',
      ...this.agentFiles,
      '--server-address',
      `127.0.0.1:${this.agentPort}`,
      '--token-file',
      tokenFile,
      '--ca',
      enrollment.caPin,
      '--root',
      enrollment.rootDigest,
      '--account-keys',
      enrollment.accountKeysDigest,
      '--mode',
      'resident',
      '--yes',
    ]);
    if (done.status !== 0) throw new Error(`enrolment failed: ${done.stderr}${done.stdout}`);
  }

  /** Runs the agent's own program against this stack's files. */
  agentCommand(...args: string[]): Promise<Finished> {
    return run([agentProgram, ...args, ...this.agentFiles]);
  }

  /** The pid of the postmaster this stack's control plane runs. */
  postgresPid(): number {
    const file = path.join(this.data, 'postgres/data/postmaster.pid');
    return Number(readFileSync(file, 'utf8').split('\n')[0]);
  }

  async close(): Promise<void> {
    await this.agent.end('SIGTERM');
    await run([agentProgram, 'lock', ...this.agentFiles]).catch(() => {});
    await this.controlPlane.end('SIGTERM');
    await this.proxy?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
