import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { beforeEach, describe, expect, it } from 'vitest';
import { openDocument } from '../../../proto/documents/document.ts';
import { sealedDigest, sealOutput } from '../../../proto/documents/sealed-output.ts';
import { envelopeBytes, useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { papers } from '../../../test/fixtures/pack-papers.ts';
import type { PackBody } from '../api/bodies.ts';
import { createWorldKey } from '../../../test/fixtures/trust-world.ts';
import { jobBody } from '../../../test/fixtures/far-bodies.ts';
import type { FarJob } from '../../../test/fixtures/far-end.ts';
import type { PaperChanges } from '../../../test/fixtures/pack-papers.ts';

const its = useCliWorld();
const asCarol = { profile: 'carol' };
const onTerminal = { ...asCarol, columns: 120 };
const PASSWORD = 'f7Kq-93Lt-new-password';

let identity: string;
let recipient: string;

beforeEach(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  its.cli.login(its.farEnd, 'carol', 'client-token', {
    rootDigest: its.world.root.digest,
    accountKeysDigest: its.world.account.digest,
  });
  its.cli.addKey('carol', 'signing', its.world.account.signing, {
    person: its.world.lead.person,
    name: 'carol',
  });
  its.cli.addCredentialKey('carol', identity, recipient);
});

/** A job that made these secrets, with its papers. */
async function made(
  secrets: Record<string, string>,
  changes: PaperChanges & { to?: string } = {},
): Promise<FarJob> {
  const { world, farEnd } = its;
  const order = world.signOrder();
  const { job } = order.payload;
  const server = world.server.id;
  const sealed = await Promise.all(
    Object.entries(secrets).map(
      async ([name, value]) =>
        [name, await sealOutput(changes.to ?? recipient, { job, server, name }, value)] as const,
    ),
  );
  const sealedOutputs = sealed.map(([, bytes]) => sealedDigest(bytes));
  const { order: ordered, pack } = await papers({
    world,
    order: { job },
    sealedOutputs,
    ...changes,
  });
  farEnd.pack = pack;
  const done: FarJob = {
    body: jobBody(world, ordered.payload, { name: '1042/1', digest: ordered.digest }),
    order: ordered.payload,
    orderEnvelope: '',
    plan: null,
    accepted: null,
    final: null,
    events: [],
    log: Buffer.alloc(0),
  };
  farEnd.jobs.set(job, done);
  for (const [name, bytes] of sealed) farEnd.addMade(done, name, bytes);
  return done;
}

const opened = () => its.farEnd.requests.filter(({ path: at }) => at.endsWith('/opened'));
const open = (words: string[], options = onTerminal) =>
  its.cli.run(['credentials', 'open', ...words, '--yes'], options);

describe('credentials open', () => {
  it.each(['1042/1', 'C-101', '101'])(
    '%s shows the secret once, on the terminal',
    async (named) => {
      await made({ password: PASSWORD });
      const done = await open([named]);
      expect(done.status, done.stderr).toBe(0);
      expect(done.stdout).toContain(PASSWORD);
      expect(done.stderr).not.toContain(PASSWORD);
      expect(opened()).toHaveLength(1);
      const again = await open([named]);
      expect([again.status, again.stdout]).toEqual([3, '']);
      expect(again.stderr).toContain('was opened by carol');
    },
  );

  it('says before that it can be opened once, and opens nothing without a yes', async () => {
    await made({ password: PASSWORD });
    const words = ['credentials', 'open', '1042/1'];
    const done = await its.cli.run(words, { ...onTerminal, answers: ['n\r'] });
    expect([done.status, done.stdout]).toEqual([4, '']);
    expect(done.stderr).toContain('shown here once, and not kept');
    expect(opened()).toEqual([]);
    const yes = await its.cli.run(words, { ...onTerminal, answers: ['y\r'] });
    expect(yes.stdout).toContain(PASSWORD);
  });

  it('writes to a new file that only its owner may read, byte for byte', async () => {
    const secret = 'line one\nline\u0007two\n';
    await made({ key: secret });
    const file = path.join(its.cli.home, 'key');
    const shown = await open(['1042/1']);
    expect([shown.status, shown.stdout]).toEqual([2, '']);
    expect(opened()).toEqual([]);
    const done = await open(['1042/1', '--output', file], asCarol as typeof onTerminal);
    expect(done.status, done.stderr).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe(secret);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(done.stdout + done.stderr).not.toContain('line one');
  });

  it('overwrites no file, and then it can still be opened', async () => {
    await made({ password: PASSWORD });
    const file = its.file('there', 'mine');
    const done = await open(['1042/1', '--output', file]);
    expect(done.status).not.toBe(0);
    expect(readFileSync(file, 'utf8')).toBe('mine');
    expect(opened()).toEqual([]);
    expect((await open(['1042/1'])).stdout).toContain(PASSWORD);
  });

  it.each([[], ['--json']])('does not go into a pipe %j', async (...more) => {
    await made({ password: PASSWORD });
    const done = await open(['1042/1', ...more], asCarol as typeof onTerminal);
    expect([done.status, done.stdout]).toEqual([2, '']);
    expect(done.stderr).toContain('--output FILE');
    expect(opened()).toEqual([]);
  });

  it('wants to be told which one where a job made several', async () => {
    await made({ password: PASSWORD, key: 'another secret' });
    const vague = await open(['1042/1']);
    expect([vague.status, vague.stderr]).toEqual([2, expect.stringContaining('key, password')]);
    expect((await open(['1042/1', '--name', 'key'])).stdout).toContain('another secret');
    expect((await open(['1042/1'])).stdout).toContain(PASSWORD);
    expect((await open(['1042/1', '--name', 'none'])).stderr).toContain('made no secret "none"');
  });

  it('is refused for what was sealed to another key, and opens with that one', async () => {
    const other = await generateX25519Identity();
    await made({ password: PASSWORD }, { to: await identityToRecipient(other) });
    const done = await open(['1042/1']);
    expect([done.status, done.stdout]).toEqual([3, '']);
    expect(done.stderr).toContain('does not open with this key');
    expect(opened()).toEqual([]);
    const file = its.file('other', `# mine\n${other}\n`);
    expect((await open(['1042/1', '--identity-file', file])).stdout).toContain(PASSWORD);
  });

  it.each<[string, () => PaperChanges, Partial<PackBody>]>([
    ['the agent did not sign for it', () => ({ sealedOutputs: [] }), {}],
    ['another agent signed', () => ({ agent: [createWorldKey().signer] }), {}],
    ['nobody certified ordered it', () => ({ orderSigner: [createWorldKey().signer] }), {}],
    ['its job has no papers', () => ({}), { jobs: [] }],
  ])('is refused where %s, unless that is accepted', async (_why, changes, pack) => {
    await made({ password: PASSWORD }, changes());
    Object.assign(its.farEnd.pack!, pack);
    const done = await open(['1042/1']);
    expect([done.status, done.stdout]).toEqual([3, '']);
    expect(done.stderr).toContain('Nothing proves that the agent on web-04 made it');
    expect(opened()).toEqual([]);
    expect((await open(['1042/1', '--unproven'])).stdout).toContain(PASSWORD);
  });

  it('is refused for a secret that is shown in the place of another', async () => {
    const first = await made({ password: PASSWORD, key: 'another secret' });
    const [password, key] = its.farEnd.credentials;
    its.farEnd.sealed.set(String(password!['id']), its.farEnd.sealed.get(String(key!['id']))!);
    const done = await open([first.body.name, '--name', 'password']);
    expect([done.status, done.stdout]).toEqual([3, '']);
    expect(done.stderr).toContain('under another name');
  });

  it('is for clients, and for what was made', async () => {
    await made({ password: PASSWORD });
    const engineer = await its.cli.run(['credentials', 'open', '1042/1', '--yes'], { columns: 80 });
    expect([engineer.status, engineer.stderr.includes('not_a_client')]).toEqual([3, true]);
    Object.assign(its.farEnd.credentials[0]!, { kind: 'given' });
    expect((await open(['C-101'])).stderr).toContain('only that opens it');
    expect((await open(['1042/1'])).stderr).toContain('made no secret');
  });

  it('can be opened again when it could not be told that it was', async () => {
    await made({ password: PASSWORD });
    const { id } = its.farEnd.credentials[0]!;
    const farEnd = its.farEnd as unknown as { credential: (ref: string) => unknown };
    const find = farEnd.credential.bind(its.farEnd);
    farEnd.credential = (ref) =>
      its.farEnd.requests.at(-1)?.path.endsWith('/opened') ? undefined : find(ref);
    const done = await open(['1042/1']);
    expect([done.status, done.stderr.includes('not_told')]).toEqual([1, true]);
    expect(done.stdout).toContain(PASSWORD);
    farEnd.credential = find;
    expect(its.farEnd.sealed.has(String(id))).toBe(true);
    expect((await open(['C-101'])).stdout).toContain(PASSWORD);
  });

  it('needs a key of the profile, and the passphrase that it has', async () => {
    await made({ password: PASSWORD });
    its.cli.login(its.farEnd, 'phone', 'client-token', {
      rootDigest: its.world.root.digest,
      accountKeysDigest: its.world.account.digest,
    });
    const none = await open(['1042/1'], { profile: 'phone', columns: 120 });
    expect(none.stderr).toContain('no_credential_key');
    const file = path.join(its.cli.home, 'profiles/carol/keys/credentials.age');
    writeFileSync(file, 'AGE-SECRET-KEY-1junk', { mode: 0o600 });
    expect((await open(['1042/1'])).stderr).toContain('key_damaged');
    expect(opened()).toEqual([]);
  });
});

describe('credentials list', () => {
  it('tells what there is and whether it was opened, never what it is', async () => {
    await made({ password: PASSWORD, key: 'another' });
    await open(['C-101']);
    for (const options of [asCarol, { profile: 'ana' }]) {
      const list = await its.cli.run(['credentials', 'list'], options);
      expect(list.stdout.split('\n').map((line) => line.split('\t').slice(0, 6))).toMatchObject([
        ['C-102', 'key', 'web-04', 'job 1042/1', 'the client', 'not opened'],
        ['C-101', 'password', 'web-04', 'job 1042/1', 'the client', 'opened'],
        [''],
      ]);
      expect(list.stderr.includes('credentials open C-102')).toBe(options === asCarol);
    }
    const json = (await its.cli.run(['credentials', 'list', '--json'], asCarol)).stdout;
    expect(json).not.toContain('sealed":');
  });

  it('leaves out what is over, unless all are asked for', async () => {
    await made({ password: PASSWORD });
    Object.assign(its.farEnd.credentials[0]!, { kind: 'given', state: 'withdrawn' });
    const list = await its.cli.run(['credentials', 'list'], asCarol);
    expect([list.stdout, list.stderr]).toEqual(['', expect.stringContaining('0 of 1')]);
    const all = await its.cli.run(['credentials', 'list', '--all'], asCarol);
    expect(all.stdout).toContain('withdrawn');
  });
});

describe('credentials withdraw', () => {
  it('goes out unsigned at once, and then with the signature of the client', async () => {
    await made({ password: PASSWORD });
    Object.assign(its.farEnd.credentials[0]!, { kind: 'given', state: 'usable' });
    const { id } = its.farEnd.credentials[0]!;
    const done = await its.cli.run(['credentials', 'withdraw', 'C-101'], asCarol);
    expect(done.status, done.stderr).toBe(0);
    const [plain, signed] = its.farEnd.revocations;
    expect(plain).toEqual({ credential: id });
    const { payload } = openDocument('revoke', envelopeBytes(signed!['envelope']), [
      its.world.account.signing.key,
    ]);
    expect(payload).toMatchObject({ grants: [id], keys: [], afterStep: true });
    expect(done.stderr).toContain('Your signature went with it');
  });

  it('needs no signature: engineers may do it, too', async () => {
    await made({ password: PASSWORD });
    const done = await its.cli.run(['credentials', 'withdraw', '101']);
    expect([done.status, done.stderr.includes('Not signed')]).toEqual([0, true]);
    expect(its.farEnd.revocations).toHaveLength(1);
  });
});

describe('whom new credentials are sealed to', () => {
  const words = (...more: string[]) =>
    'authorize web-04 --ticket T --actions * --backup yes --interruption yes --yes'
      .split(' ')
      .concat(more);
  const signed = () =>
    openDocument('grant', envelopeBytes(its.farEnd.grants.at(-1)?.['envelope']), [
      its.world.account.signing.key,
    ]).payload.credentialRecipient;

  it("is the client's own key, as authorize says, unless they name another or nobody", async () => {
    const done = await its.cli.run(words(), asCarol);
    expect(done.status, done.stderr).toBe(0);
    expect(done.stderr).toContain(recipient);
    expect(signed()).toEqual({ type: 'age', recipient });
    const other = await identityToRecipient(await generateX25519Identity());
    await its.cli.run(words('--age-recipient', other), asCarol);
    expect(signed()).toEqual({ type: 'age', recipient: other });
    const none = await its.cli.run(words('--no-credentials'), asCarol);
    expect(none.stderr).toContain('no new password or key is handed out');
    expect(signed()).toBe(null);
  });

  it('is one at most, and a recipient that there can be', async () => {
    const both = await its.cli.run(
      words('--no-credentials', '--age-recipient', recipient),
      asCarol,
    );
    expect([both.status, both.stderr]).toEqual([2, expect.stringContaining('one at most')]);
    const junk = await its.cli.run(words('--age-recipient', 'age1junk'), asCarol);
    expect([junk.status, junk.stderr]).toEqual([2, expect.stringContaining('no age recipient')]);
    expect(its.farEnd.grants).toEqual([]);
  });
});
