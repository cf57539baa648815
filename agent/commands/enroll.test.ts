import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeTrustDocuments } from '../connection/testing/trust-documents.ts';
import { FarEnd } from '../connection/testing/far-end.ts';
import { run } from '../../test/harness/process.ts';

const root = path.resolve(import.meta.dirname, '../..');
const source = [process.execPath, path.join(root, 'agent/main.ts')];

const agent = (args: string[], input = '') => run([...source, ...args], { input });

describe('intervene-agent enroll', () => {
  const documents = makeTrustDocuments();
  const token = 't'.repeat(43);
  let farEnd: FarEnd;
  let folder: string;
  let tokens: string[];

  beforeAll(async () => {
    farEnd = await FarEnd.start({
      enroll: async (request) => {
        tokens.push(request.token!);
        if (request.token !== token) {
          throw Object.assign(new Error(), { code: 7, details: 'the token was used before' });
        }
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
  });
  afterAll(() => farEnd.stop());
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'iv-mn-'));
    tokens = [];
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const files = () => [
    '--config',
    path.join(folder, 'agent.toml'),
    '--state',
    path.join(folder, 'state'),
    '--policy',
    path.join(folder, 'policy.toml'),
  ];
  const pins = () => [
    '--ca',
    farEnd.pin,
    '--root',
    documents.rootDigest,
    '--account-keys',
    documents.accountKeysDigest,
  ];
  const enroll = (more: string[], input?: string) =>
    agent(['enroll', ...files(), '--mode', 'resident', ...more], input);
  const there = () => ['--server-address', farEnd.address, ...pins()];

  it('shows what will be trusted, enrols, and writes the configuration', async () => {
    const { status, stdout, stderr } = await enroll([...there(), '--token-stdin', '--yes'], token);
    expect(status).toBe(0);
    for (const shown of [farEnd.address, farEnd.pin, documents.rootDigest, 'Agent key  SHA256:']) {
      expect(stderr).toContain(shown);
    }
    expect(stdout).toBe('');
    expect(readFileSync(path.join(folder, 'agent.toml'), 'utf8')).toContain(farEnd.address);
    const trust = await agent(['trust', ...files(), '--json']);
    expect(JSON.parse(trust.stdout)).toMatchObject({
      agent: { accountId: documents.account, mode: 'resident' },
      pins: { caPin: farEnd.pin, rootDigest: documents.rootDigest },
      root: { version: 1, threshold: 1, keys: [{ name: 'root' }] },
      accountKeys: { version: 1, keys: [{ use: 'signing' }, { use: 'signing' }] },
      policy: { usable: false },
      time: { jumped: false },
    });
    const shown = await agent(['trust', ...files()]);
    expect(shown.stdout).toContain(documents.accountKeysDigest);
    const state = await agent(['status', ...files()]);
    expect([state.status, state.stdout]).toEqual([
      5,
      expect.stringContaining('no agent runs here'),
    ]);
  });

  it('writes the policy it is told over the one that came with the package, and no other', async () => {
    const policy = path.join(folder, 'policy.toml');
    const chosen = ['--allow', 'filesystem.*', '--allow', 'service.restart'];
    const told = [...there(), '--token', token, '--yes', ...chosen, '--highest-class', 'B'];
    told.push('--allow-no-undo');
    copyFileSync(path.join(root, 'agent/install/debian/policy.toml'), policy);
    const first = await enroll(told);
    expect(first.stderr).toContain('allows filesystem.*, service.restart, up to class B');
    expect(readFileSync(policy, 'utf8')).toContain(
      'highest-class = "B"\nallow-steps-without-undo = true\n',
    );
    const check = await agent(['policy', 'check', ...files()]);
    expect([check.status, check.stderr]).toEqual([0, '']);
    const again = await enroll([...told, '--replace', '--allow', 'access.*']);
    expect([again.status, again.stderr]).toEqual([0, expect.stringContaining('stays as it is')]);
    expect(readFileSync(policy, 'utf8')).not.toContain('access');
  });

  it('leaves the policy alone when it is told nothing of it', async () => {
    await enroll([...there(), '--token', token, '--yes']);
    expect(existsSync(path.join(folder, 'policy.toml'))).toBe(false);
  });

  it('does not enrol twice without being told to', async () => {
    await enroll([...there(), '--token', token, '--yes']);
    const again = await enroll([...there(), '--token', token, '--yes']);
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining('--replace')]);
    expect(tokens).toHaveLength(1);
    const replaced = await enroll([...there(), '--token', token, '--yes', '--replace']);
    expect(replaced.status).toBe(0);
  });

  it('takes address, CA and token from the kernel command line', async () => {
    const cmdline = path.join(folder, 'cmdline');
    const words = `intervene.server=${farEnd.address} intervene.ca=${farEnd.pin} intervene.token=${token}`;
    writeFileSync(cmdline, `quiet ${words}\n`);
    const rest = [...pins().slice(2), '--kernel-command-line', cmdline, '--yes'];
    expect((await enroll(rest)).status).toBe(0);
    rmSync(path.join(folder, 'state'), { recursive: true });
    writeFileSync(cmdline, `${words} intervene.voucher=sha256:${'0'.repeat(64)}\n`);
    const refused = await enroll(rest);
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining('voucher')]);
  });

  it.each<[string, number, () => string[], RegExp]>([
    ['another CA', 3, () => [...there(), '--ca', `sha256:${'0'.repeat(64)}`], /not the pinned/],
    [
      'another root',
      3,
      () => [...there(), '--root', `sha256:${'0'.repeat(64)}`],
      /pinned document/,
    ],
    ['no control plane', 5, () => [...pins(), '--server-address', '127.0.0.1:1'], /ECONNREFUSED/],
    ['no address', 2, () => pins(), /--server-address/],
    ['a pattern that is none', 2, () => [...there(), '--allow', 'a b'], /policy/],
    ['a digest that is none', 2, () => [...there(), '--root', 'x'], /rootDigest/],
  ])('ends with the right status for %s', async (_name, expected, args, message) => {
    const { status, stderr } = await enroll([...args(), '--token', token, '--yes']);
    expect(stderr).toMatch(message);
    expect(status).toBe(expected);
    expect(existsSync(path.join(folder, 'state/identity'))).toBe(false);
  });

  it('says when the token is not accepted', async () => {
    const used = await enroll([...there(), '--token', 'u'.repeat(43), '--yes']);
    expect([used.status, used.stderr]).toEqual([3, expect.stringContaining('used before')]);
    const none = await enroll([...there(), '--yes']);
    expect([none.status, none.stderr]).toEqual([2, expect.stringContaining('token')]);
    const two = await enroll([...there(), '--token', token, '--token-stdin', '--yes'], token);
    expect(two.status).toBe(2);
  });

  it('needs --yes where nobody can be asked', async () => {
    const { status, stderr } = await enroll([...there(), '--token', token]);
    expect([status, stderr]).toEqual([2, expect.stringContaining('--yes')]);
    expect(tokens).toEqual([]);
  });
});
