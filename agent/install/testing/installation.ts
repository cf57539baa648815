import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { packEntries } from '../../../scripts/archive.ts';
import { runTool } from '../../../scripts/node-runtime.ts';
import { FarEnd } from '../../connection/testing/far-end.ts';
import { makeTrustDocuments } from '../../connection/testing/trust-documents.ts';

const root = path.resolve(import.meta.dirname, '../../..');
export const installer = path.join(root, 'agent/install/install.sh');
export const token = 't'.repeat(43);
export const documents = makeTrustDocuments();
const archiveName = `/install/intervene-agent-linux-${process.arch}.tar`;

/** The program from source instead of a bundle, so that the archive is small. */
const unpacked = packEntries(
  [
    {
      name: 'bin/intervene-agent',
      content: Buffer.from(
        `#!/bin/sh\nexec ${process.execPath} ${path.join(root, 'agent/main.ts')} "$@"\n`,
      ),
      mode: 0o755,
    },
    {
      name: 'intervene-agent.service',
      content: readFileSync(path.join(root, 'agent/install/intervene-agent.service')),
      mode: 0o644,
    },
  ],
  true,
);
export const archive: Uint8Array = gzipSync(unpacked);
export const archiveForXz: Uint8Array = runTool('xz-utils', ['xz', '--compress'], unpacked);

export const digestOf = (bytes: Uint8Array): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export interface Said {
  status: number | null;
  said: string;
}

/** Runs a script in a session of its own, where nobody can be asked: there is no terminal. */
export async function sh(args: string[], input = ''): Promise<Said> {
  const child = spawn('setsid', ['sh', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, said: (await said).join('') };
}

/** A control plane to enrol at and to fetch from, and a place to install below. */
export class Installation {
  readonly farEnd: FarEnd;
  readonly tokens: string[];
  readonly folder: string;
  /** What is served as the archive, the usual one in either packing; null for nothing. */
  served: Uint8Array | null = archive;
  private readonly web: http.Server;

  private constructor(farEnd: FarEnd, tokens: string[]) {
    this.farEnd = farEnd;
    this.tokens = tokens;
    this.folder = mkdtempSync(path.join(tmpdir(), 'iv-in-'));
    mkdirSync(this.prefix);
    this.web = http.createServer((request, response) => {
      const isXz = request.url === `${archiveName}.xz`;
      const found = (isXz || request.url === `${archiveName}.gz`) && this.served !== null;
      const bytes = isXz && this.served === archive ? archiveForXz : this.served;
      response.writeHead(found ? 200 : 404).end(found ? bytes : 'not here');
    });
  }

  static async create(): Promise<Installation> {
    const tokens: string[] = [];
    const farEnd: FarEnd = await FarEnd.start({
      enroll: async (request) => {
        tokens.push(request.token!);
        return {
          agentId: randomUUID(),
          serverId: randomUUID(),
          accountId: documents.account,
          certificate: await farEnd.authority.issueAgent(request.certificateRequest!),
          rootChain: [documents.root],
          accountKeys: [documents.accountKeys],
        };
      },
    });
    const installation = new Installation(farEnd, tokens);
    installation.web.listen(0, '127.0.0.1');
    await once(installation.web, 'listening');
    return installation;
  }

  get prefix(): string {
    return path.join(this.folder, 'root');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.web.address() as AddressInfo).port}`;
  }

  get usual(): Record<string, string> {
    return {
      '--control-plane': this.farEnd.address,
      '--url': this.url,
      '--ca': this.farEnd.pin,
      '--root': documents.rootDigest,
      '--account-keys': documents.accountKeysDigest,
      '--bundle-digest': digestOf(archive),
      '--token': token,
      '--prefix': this.prefix,
    };
  }

  /** Null leaves an option out. */
  install(
    changes: Record<string, string | null> = {},
    more: string[] = ['--yes'],
    input?: string,
  ): Promise<Said> {
    const options = Object.entries<string | null>({ ...this.usual, ...changes })
      .filter(([, value]) => value !== null)
      .flatMap(([name, value]) => [name, value!]);
    return sh([installer, ...options, ...more], input);
  }

  remove(...more: string[]): Promise<Said> {
    return sh([installer, 'remove', '--prefix', this.prefix, ...more]);
  }

  /** Every file and link below the prefix. */
  installed(): string[] {
    return readdirSync(this.prefix, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(this.prefix, path.join(entry.parentPath, entry.name)))
      .toSorted();
  }

  at(name: string): string {
    return path.join(this.prefix, name);
  }

  async close(): Promise<void> {
    this.web.close();
    await this.farEnd.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
