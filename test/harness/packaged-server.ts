import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { packageAgent } from '../../scripts/package-agent.ts';
import { BootedDebian } from './booted-debian.ts';
import { Stack } from './stack.ts';
import type { Enrollment } from './stack.ts';

const PACKAGES = '/var/tmp/packages';

/** What the owner of a server says when it is enrolled; the package's own policy only looks. */
export interface OwnerChoice {
  allow?: readonly string[];
  highestClass?: 'A' | 'B' | 'C';
  allowNoUndo?: boolean;
}

/** A booted Debian on which nothing is installed yet, the agent's packages, and a control plane outside. */
export class PackagedServer {
  readonly stack: Stack;
  readonly debian: BootedDebian;
  private readonly folder: string;

  private constructor(stack: Stack, debian: BootedDebian, folder: string) {
    this.stack = stack;
    this.debian = debian;
    this.folder = folder;
  }

  /** The packages are uncompressed, which saves a minute and is the same to dpkg. */
  static async start(...versions: string[]): Promise<PackagedServer> {
    const folder = mkdtempSync(path.join(tmpdir(), 'iv-packages-'));
    let debian: BootedDebian | undefined;
    let stack: Stack | undefined;
    try {
      for (const version of versions) packageAgent({ out: folder, version, compression: 'none' });
      debian = await BootedDebian.start({ show: { [PACKAGES]: folder } });
      stack = await Stack.start({ agent: 'none' });
      await debian.reachHost(stack.agentPort);
      return new PackagedServer(stack, debian, folder);
    } catch (error) {
      await stack?.close();
      await debian?.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** As an owner does, with nobody to ask. */
  async install(version: string): Promise<string> {
    const file = `${PACKAGES}/intervene-agent_${version}_*.deb`;
    const quietly = 'DEBIAN_FRONTEND=noninteractive';
    return this.debian.ok([
      'sh',
      '-c',
      `${quietly} apt-get install --yes --reinstall ${file} 2>&1`,
    ]);
  }

  async apt(...words: string[]): Promise<string> {
    return this.debian.ok(['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '--yes', ...words]);
  }

  /** The client orders an enrolment, the owner carries it out and lets the service start. */
  async enroll({ allow = [], highestClass, allowNoUndo }: OwnerChoice = {}): Promise<string> {
    const { stack, debian } = this;
    const words = ['enroll', 'web-04', '--mode', 'resident'];
    const enrollment = await stack.json<Enrollment>('carol', ...words);
    const done = await debian.exec(
      [
        ...['intervene-agent', 'enroll', '--mode', 'resident', '--token-stdin', '--yes'],
        ...['--server-address', `127.0.0.1:${stack.agentPort}`, '--ca', enrollment.caPin],
        ...['--root', enrollment.rootDigest, '--account-keys', enrollment.accountKeysDigest],
        ...allow.flatMap((pattern) => ['--allow', pattern]),
        ...(highestClass === undefined ? [] : ['--highest-class', highestClass]),
        ...(allowNoUndo === true ? ['--allow-no-undo'] : []),
      ],
      { input: enrollment.token },
    );
    if (done.status !== 0) throw new Error(`enrolment failed: ${done.stderr}${done.stdout}`);
    await debian.ok(['systemctl', 'enable', '--now', '--quiet', 'intervene-agent']);
    await stack.connected();
    return done.stderr;
  }

  /** Every name on the disk of the server, but what comes and goes by itself. */
  async files(): Promise<string[]> {
    const skipped = ['/proc', '/sys', '/dev', '/run', '/tmp', '/var/tmp', '/var/log', '/var/cache'];
    const own = ['/var/lib/apt', '/var/lib/dpkg', '/var/lib/systemd'];
    const prune = [...skipped, ...own].flatMap((folder) => ['-path', folder, '-o']).slice(0, -1);
    const found = await this.debian.ok(['find', '/', '(', ...prune, ')', '-prune', '-o', '-print']);
    return found.trim().split('\n').toSorted();
  }

  async close(): Promise<void> {
    await this.debian.close();
    await this.stack.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
