import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import { packEntries } from '../../scripts/archive.ts';
import { randomUUID } from 'node:crypto';
import { FarEnd } from '../connection/testing/far-end.ts';
import { makeTrustDocuments } from '../connection/testing/trust-documents.ts';

const root = path.resolve(import.meta.dirname, '../..');
const installer = path.join(import.meta.dirname, 'install.sh');
const token = 't'.repeat(43);
const documents = makeTrustDocuments();
const archiveName = `/install/intervene-agent-linux-${process.arch}.tar.gz`;

/** The program from source instead of a bundle, so that the archive is small. */
const archive = packEntries(
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
      content: readFileSync(path.join(import.meta.dirname, 'intervene-agent.service')),
      mode: 0o644,
    },
  ],
  true,
);
const digestOf = (bytes: Uint8Array) =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

let farEnd: FarEnd;
let web: http.Server;
let served: Uint8Array | null;
let tokens: string[];
let prefix: string;
let folder: string;

beforeAll(async () => {
  farEnd = await FarEnd.start({
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
  web = http.createServer((request, response) => {
    const found = request.url === archiveName && served !== null;
    response.writeHead(found ? 200 : 404).end(found ? served : 'not here');
  });
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
});
afterAll(async () => {
  web.close();
  await farEnd.stop();
});
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'iv-in-'));
  prefix = path.join(folder, 'root');
  mkdirSync(prefix);
  served = archive;
  tokens = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Finished {
  status: number | null;
  said: string;
}

async function sh(args: string[], input?: string): Promise<Finished> {
  // In a session of its own nobody can be asked: there is no terminal.
  const child = spawn('setsid', ['sh', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, said: (await said).join('') };
}

const usual = () => ({
  '--control-plane': farEnd.address,
  '--url': `http://127.0.0.1:${(web.address() as AddressInfo).port}`,
  '--ca': farEnd.pin,
  '--root': documents.rootDigest,
  '--account-keys': documents.accountKeysDigest,
  '--bundle-digest': digestOf(archive),
  '--token': token,
  '--prefix': prefix,
});

/** Null leaves an option out. */
async function install(
  changes: Record<string, string | null> = {},
  more: string[] = ['--yes'],
  input?: string,
): Promise<Finished> {
  const options = Object.entries<string | null>({ ...usual(), ...changes })
    .filter(([, value]) => value !== null)
    .flatMap(([name, value]) => [name, value!]);
  return sh([installer, ...options, ...more], input);
}

/** Every file, link and folder with something in it below the prefix. */
function installed(): string[] {
  return readdirSync(prefix, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(prefix, path.join(entry.parentPath, entry.name)))
    .toSorted();
}

const at = (name: string) => path.join(prefix, name);

describe('install.sh', () => {
  it('installs, enrols, and says what the server will trust', async () => {
    const { status, said } = await install();
    expect(said).toContain('✓ Installed');
    expect(status).toBe(0);
    for (const shown of [farEnd.address, farEnd.pin, documents.rootDigest]) {
      expect(said).toContain(shown);
    }
    expect(said).toMatch(/Agent key +SHA256:/);
    expect(said).not.toContain(token);
    expect(tokens).toEqual([token]);
    expect(installed()).toEqual(
      expect.arrayContaining([
        'etc/intervene/agent.toml',
        'etc/intervene/policy.toml',
        'etc/systemd/system/intervene-agent.service',
        'usr/bin/intervene-agent',
        'usr/lib/intervene-agent/bin/intervene-agent',
        'var/lib/intervene/identity/agent.key',
        'var/lib/intervene/trust/pins.json',
      ]),
    );
    expect(statSync(at('var/lib/intervene')).mode & 0o777).toBe(0o700);
    expect(readlinkSync(at('usr/bin/intervene-agent'))).toBe(
      '/usr/lib/intervene-agent/bin/intervene-agent',
    );
  });

  it('writes a policy that only looks, unless told otherwise', async () => {
    await install();
    const policy = readFileSync(at('etc/intervene/policy.toml'), 'utf8');
    expect(policy).toContain('allow = ["*"]\nhighest-class = "A"\n');
    const check = await sh([
      at('usr/lib/intervene-agent/bin/intervene-agent'),
      'policy',
      'check',
      '--policy',
      at('etc/intervene/policy.toml'),
    ]);
    expect(check.status).toBe(0);
  });

  it('writes the policy it is told, and keeps one that is there', async () => {
    const allow = ['--allow', 'filesystem.*', '--allow', 'service.restart'];
    await install({ '--highest-class': 'B' }, [...allow, '--yes']);
    expect(readFileSync(at('etc/intervene/policy.toml'), 'utf8')).toContain(
      'allow = ["filesystem.*", "service.restart"]\nhighest-class = "B"\n',
    );
    await sh([installer, 'remove', '--prefix', prefix, '--yes']);
    mkdirSync(at('etc/intervene'), { recursive: true });
    writeFileSync(at('etc/intervene/policy.toml'), 'version = 1\n');
    const { said } = await install();
    expect(said).toContain('stays as it is');
    expect(readFileSync(at('etc/intervene/policy.toml'), 'utf8')).toBe('version = 1\n');
  });

  it('takes the token from standard input or a file', async () => {
    expect((await install({ '--token': null }, ['--token-stdin', '--yes'], token)).status).toBe(0);
    await sh([installer, 'remove', '--prefix', prefix, '--yes']);
    const file = path.join(folder, 'token');
    writeFileSync(file, `${token}\n`);
    expect((await install({ '--token': null, '--token-file': file })).status).toBe(0);
    expect(tokens).toEqual([token, token]);
  });

  it('refuses an archive with one other bit, and leaves nothing', async () => {
    served = Buffer.from(archive);
    served[served.length - 3]! ^= 1;
    const { status, said } = await install();
    expect(status).toBe(1);
    expect(said).toContain('not the one that was promised');
    expect(said).toContain('Nothing was left behind');
    expect(installed()).toEqual([]);
    expect(tokens).toEqual([]);
  });

  it('refuses an archive other than the one the installer was made for', async () => {
    const stamped = path.join(folder, 'install.sh');
    const own = readFileSync(installer, 'utf8');
    const bundles = `bundles='${process.arch}=${digestOf(archive)}'`;
    writeFileSync(stamped, own.replace("bundles=''", bundles));
    const options = Object.entries({ ...usual(), '--bundle-digest': `sha256:${'0'.repeat(64)}` });
    const refused = await sh([stamped, ...options.flat(), '--yes']);
    expect(refused.said).toContain('not the one this installer was made for');
    const without = options.filter(([name]) => name !== '--bundle-digest');
    served = Buffer.from('other bytes');
    expect((await sh([stamped, ...without.flat(), '--yes'])).said).toContain(
      'not the one that was',
    );
    served = archive;
    expect((await sh([stamped, ...without.flat(), '--yes'])).status).toBe(0);
  });

  it('is refused itself by its install line when one byte was changed', async () => {
    const tampered = path.join(folder, 'install.sh');
    const own = readFileSync(installer);
    writeFileSync(tampered, Buffer.concat([own, Buffer.from('\ntouch /tmp/owned\n')]));
    const line = `echo "${digestOf(own).slice(7)}  ${tampered}" | sha256sum -c --quiet - && sh ${tampered} --yes`;
    const { status, said } = await sh(['-c', line]);
    expect(status).not.toBe(0);
    expect(said).toContain('FAILED');
    expect(said).not.toContain('✗');
  });

  it.each([
    ['another CA key', { '--ca': `sha256:${'0'.repeat(64)}` }, 0],
    ['another operator root', { '--root': `sha256:${'0'.repeat(64)}` }, 1],
    ['other account keys', { '--account-keys': `sha256:${'0'.repeat(64)}` }, 1],
    ['no control plane', { '--control-plane': '127.0.0.1:1' }, 0],
  ])('leaves nothing when the server is enrolled with %s', async (_name, changes, calls) => {
    const { status, said } = await install(changes);
    expect(status).toBe(1);
    expect(said).toContain('could not be enrolled');
    expect(tokens).toHaveLength(calls);
    expect(installed()).toEqual([]);
  });

  it('leaves nothing when the archive cannot be fetched', async () => {
    served = null;
    const { status, said } = await install();
    expect([status, said]).toEqual([1, expect.stringContaining('could not be fetched')]);
    expect(installed()).toEqual([]);
  });

  it('does nothing where nobody can be asked', async () => {
    const { status, said } = await install({}, []);
    expect(status).toBe(1);
    expect(said).toContain('Nobody can be asked');
    expect(installed()).toEqual([]);
    expect(tokens).toEqual([]);
  });

  it('does not install a second time over the first', async () => {
    await install();
    const before = installed();
    const { status, said } = await install();
    expect(status).toBe(1);
    expect(said).toContain('installed here already');
    expect(installed()).toEqual(before);
    expect(tokens).toHaveLength(1);
  });

  const digest = `sha256:${'a'.repeat(64)}`;
  it.each<[string, string | null]>([
    ['--control-plane', 'cp.example.net'],
    ['--control-plane', 'cp.example.net:0'],
    ['--control-plane', 'cp.example.net:70000'],
    ['--control-plane', 'a b:1'],
    ['--control-plane', '$(id):1'],
    ['--control-plane', '"]\nx = "1:1'],
    ['--control-plane', '-x:1'],
    ['--control-plane', null],
    ['--url', 'ftp://x'],
    ['--url', 'http://x/;id'],
    ['--url', 'http://x/$(id)'],
    ['--url', null],
    ['--ca', 'sha256:xyz'],
    ['--ca', digest.toUpperCase()],
    ['--ca', `${digest}0`],
    ['--ca', `${digest}\n`],
    ['--ca', null],
    ['--root', 'abc'],
    ['--root', null],
    ['--account-keys', `md5:${'a'.repeat(64)}`],
    ['--account-keys', null],
    ['--token', 'short'],
    ['--token', `${'t'.repeat(20)};id`],
    ['--token', null],
    ['--mode', 'other'],
    ['--highest-class', 'D'],
    ['--allow', '"]\nallow = ["*'],
    ['--allow', 'filesystem'],
    ['--allow', 'file*.check'],
    ['--allow', '*.check'],
    ['--bundle-digest', '1'],
    ['--prefix', 'relative'],
    ['--prefix', '/tmp/a b'],
    ['--nonsense', 'x'],
  ])('refuses %s %j before it does anything', async (name, value) => {
    const { status, said } = await install({ [name]: value });
    expect(said).toContain('✗');
    expect(status).toBe(2);
    expect(installed()).toEqual([]);
    expect(tokens).toEqual([]);
  });

  it('prints how it is used', async () => {
    const { status, said } = await sh([installer, '--help']);
    expect(status).toBe(0);
    expect(said).toContain('--account-keys DIGEST');
    expect(said).toContain('install.sh remove');
  });
});

describe('install.sh remove', () => {
  it('removes everything, says what, and warns of backups', async () => {
    await install();
    mkdirSync(at('var/lib/intervene/backups/job'), { recursive: true });
    const { status, said } = await sh([installer, 'remove', '--prefix', prefix, '--yes']);
    expect(status).toBe(0);
    expect(installed()).toEqual([]);
    for (const place of [
      'usr/lib/intervene-agent',
      'usr/bin/intervene-agent',
      'etc/intervene',
      'var/lib/intervene',
      'etc/systemd/system/intervene-agent.service',
    ]) {
      expect(said).toContain(`removed ${at(place)}`);
      expect(existsSync(at(place))).toBe(false);
    }
    expect(said).toContain('cannot be undone');
  });

  it('asks first', async () => {
    await install();
    const { status, said } = await sh([installer, 'remove', '--prefix', prefix]);
    expect([status, said]).toEqual([1, expect.stringContaining('Nobody can be asked')]);
    expect(installed()).not.toEqual([]);
  });

  it('says when there is nothing', async () => {
    const { status, said } = await sh([installer, 'remove', '--prefix', prefix, '--yes']);
    expect([status, said]).toEqual([1, expect.stringContaining('No agent is installed')]);
  });
});
