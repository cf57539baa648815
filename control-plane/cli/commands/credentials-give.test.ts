import { beforeEach, describe, expect, it } from 'vitest';
import { openDocument } from '../../../proto/documents/document.ts';
import { openGivenSecret } from '../../../proto/documents/given-secret.ts';
import { givenReference } from '../../../proto/documents/given-reference.ts';
import { sealedDigest } from '../../../proto/documents/sealed-output.ts';
import { endJob } from '../../../test/fixtures/far-answers.ts';
import { FAR_NOW } from '../../../test/fixtures/far-end.ts';
import { envelopeBytes, useCliWorld } from '../../../test/fixtures/cli-world.ts';

const its = useCliWorld();
const asCarol = { profile: 'carol' };
const SECRET = 'hunter2 and more\n';

beforeEach(() => {
  its.cli.addKey('carol', 'signing', its.world.account.signing, {
    person: its.world.lead.person,
    name: 'carol',
  });
  its.farEnd.addGrant();
});

const words = (...more: string[]) => ['credentials', 'give', 'web-04', '--name', 'stdin', ...more];
const fromFile = (content = SECRET) => ['--from-file', its.file('secret', content), '--yes'];
const posted = () =>
  its.farEnd.requests.find(({ method, path }) => method === 'POST' && path.endsWith('/credentials'))
    ?.body;

async function given() {
  const body = posted()!;
  const { account, agent } = its.world;
  const { payload } = openDocument('credential', envelopeBytes(body['envelope']), [
    account.signing.key,
  ]);
  const sealed = envelopeBytes(body['sealed']);
  expect(payload.sealed).toBe(sealedDigest(sealed));
  return { payload, secret: await openGivenSecret(agent.ageIdentity, payload, sealed) };
}

describe('credentials give', () => {
  it('seals a secret to the agent and signs what it is for, byte for byte', async () => {
    const done = await its.cli.run(words(...fromFile()), asCarol);
    expect(done.status, done.stderr).toBe(0);
    const { payload, secret } = await given();
    expect(secret).toBe(SECRET);
    expect(payload).toMatchObject({
      account: its.world.account.id,
      grant: its.farEnd.grants[0]!['digest'],
      server: its.world.server.id,
      agentKey: its.world.agent.fingerprint,
      action: 'command.run',
      input: 'stdin',
      issuedAt: FAR_NOW / 1000,
    });
    expect(done.stdout).toBe('C-101\n');
    expect(done.stderr).toContain(
      'an engineer runs intervene run web-04 command.run --given stdin -- COMMAND',
    );
    for (const { body, path } of its.farEnd.requests) {
      expect(`${path} ${JSON.stringify(body)}`).not.toContain('hunter2');
    }
    expect(done.stdout + done.stderr).not.toContain('hunter2');
  });

  it('asks for it without showing it, and whether it is meant', async () => {
    const options = { ...asCarol, columns: 120, answers: ['typed secret\r', 'y\r'] };
    const done = await its.cli.run(words(), options);
    expect(done.status, done.stderr).toBe(0);
    expect((await given()).secret).toBe('typed secret');
    expect(done.stderr).not.toContain('typed secret');
    expect(done.stderr).toContain('stdin of command.run on web-04, under G-311');
  });

  it.each([
    [undefined, true],
    [{ directory: ['/'] }, true],
    [{ argv: [['chpasswd']] }, false],
  ])('says who can read it where the permission limits %j', async (parameters, isPrintable) => {
    its.farEnd.grants = [];
    its.farEnd.addGrant({
      actions: [{ pattern: 'command.run', ...(parameters !== undefined && { parameters }) }],
    });
    const options = { ...asCarol, columns: 120, answers: ['typed secret\r', 'y\r'] };
    const asked = await its.cli.run(words(), options);
    const unasked = await its.cli.run(words(...fromFile()), asCarol);
    for (const { status, stderr } of [asked, unasked]) {
      expect(status, stderr).toBe(0);
      expect(stderr.includes('can have it printed')).toBe(isPrintable);
    }
    expect(asked.stderr.replaceAll(/\s+/g, ' ').includes('cannot read it')).toBe(!isPrintable);
  });

  it('gives nothing without a yes, without a secret, or to nobody who can be asked', async () => {
    const refusing = { ...asCarol, columns: 120, answers: ['typed secret\r', 'n\r'] };
    expect((await its.cli.run(words(), refusing)).status).toBe(4);
    const empty = await its.cli.run(words('--yes'), { ...asCarol, columns: 120, answers: ['\r'] });
    expect(empty.stderr).toContain('secret_empty');
    expect((await its.cli.run(words('--yes'), asCarol)).stderr).toContain('--from-file FILE');
    expect((await its.cli.run(words(...fromFile('')), asCarol)).stderr).toContain('secret_empty');
    const large = await its.cli.run(words(...fromFile('x'.repeat(9000))), asCarol);
    expect(large.stderr).toContain('secret_too_large');
    const control = await its.cli.run(words(...fromFile('\u0001'.repeat(8000))), asCarol);
    expect(control.stderr).toContain('secret_too_large');
    expect(posted()).toBe(undefined);
  });

  it('is for clients who have a key of the account', async () => {
    const engineer = await its.cli.run(words(...fromFile()));
    expect([engineer.status, engineer.stderr.includes('not_a_client')]).toEqual([3, true]);
    const other = await its.cli.run(words(...fromFile(), '--key', 'other'), asCarol);
    expect(other.stderr).toContain('no_account_key');
    expect(posted()).toBe(undefined);
  });

  it('wants to be told which permission it is for where several fit', async () => {
    its.farEnd.addGrant();
    const vague = await its.cli.run(words(...fromFile()), asCarol);
    expect([vague.status, vague.stderr]).toEqual([
      2,
      expect.stringContaining('command.run under G-311, or command.run under G-312'),
    ]);
    const clear = await its.cli.run(words(...fromFile(), '--grant', 'G-312'), asCarol);
    expect(clear.status, clear.stderr).toBe(0);
    expect((await given()).payload.grant).toBe(its.farEnd.grants[1]!['digest']);
  });

  it.each<[string, () => string[], string]>([
    [
      'an action that takes no such secret',
      () => ['--action', 'filesystem.check'],
      'allows filesystem.check',
    ],
    ['a grant that is over', () => ['--grant', end({ state: 'expired' })], 'is over'],
    ['a grant that was taken back', () => ['--grant', end({ state: 'revoked' })], 'is taken back'],
    ['an attestation', () => ['--grant', end({ kind: 'attestation' })], 'attestation'],
    ['a grant for another server', () => ['--grant', end({ servers: [] })], 'is not for web-04'],
  ])('is refused for %s', async (_what, more, why) => {
    const done = await its.cli.run(words(...fromFile(), ...more()), asCarol);
    expect(done.status).not.toBe(0);
    expect(done.stderr).toContain(why);
    expect(posted()).toBe(undefined);
  });

  it('is refused for an input that no action takes', async () => {
    const other = ['credentials', 'give', 'web-04', '--name', 'stdinn', ...fromFile()];
    const done = await its.cli.run(other, asCarol);
    expect(done.stderr).toContain('Did you mean stdin?');
    expect(posted()).toBe(undefined);
  });

  function end(changes: Record<string, unknown>): string {
    Object.assign(its.farEnd.grants[0]!, changes);
    return 'G-311';
  }

  it('is refused where nothing is permitted, or not that action', async () => {
    its.farEnd.grants = [];
    const none = await its.cli.run(words(...fromFile()), asCarol);
    expect(none.stderr).toContain('Nothing is permitted on web-04 now');
    its.farEnd.addGrant({ actions: [{ pattern: 'filesystem.*' }] });
    its.farEnd.addGrant({ highestClass: 'B' });
    const narrow = await its.cli.run(words(...fromFile()), asCarol);
    expect(narrow.stderr).toContain('No permission on web-04 allows');
  });
});

describe('where a secret is sealed to', () => {
  const other = `age1${'q'.repeat(58)}`;

  it('is said, as the control plane names it; from then on another one is refused', async () => {
    const first = await its.cli.run(words(...fromFile()), asCarol);
    expect(first.stderr).toContain('which the control plane names');
    const second = await its.cli.run(words(...fromFile()), asCarol);
    expect(second.stderr).not.toContain('which the control plane names');
    Object.assign(its.farEnd.agent!, { ageRecipient: other });
    its.farEnd.requests.length = 0;
    const third = await its.cli.run(words(...fromFile()), asCarol);
    expect([third.status, third.stderr]).toEqual([
      3,
      expect.stringContaining('not the one that was used before'),
    ]);
    expect(posted()).toBe(undefined);
  });

  it('must be what the person names, who looked on the server', async () => {
    const { ageRecipient } = its.world.agent;
    const right = await its.cli.run(words(...fromFile(), '--recipient', ageRecipient), asCarol);
    expect(right.status, right.stderr).toBe(0);
    expect(right.stderr).not.toContain('which the control plane names');
    const wrong = await its.cli.run(words(...fromFile(), '--recipient', other), asCarol);
    expect([wrong.status, wrong.stderr]).toEqual([
      3,
      expect.stringContaining('not the one you named'),
    ]);
  });

  it('is nowhere without an agent, or with one that is too old', async () => {
    Object.assign(its.farEnd.agent!, {
      documentTypes: ['application/vnd.intervene.grant.v1+json'],
    });
    expect((await its.cli.run(words(...fromFile()), asCarol)).stderr).toContain('agent_too_old');
    its.farEnd.agent = null;
    expect((await its.cli.run(words(...fromFile()), asCarol)).stderr).toContain('no_agent');
  });
});

describe('run --given', () => {
  const run = (...more: string[]) =>
    its.cli.run([
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--given',
      'stdin',
      ...more,
      '--',
      'cat',
    ]);
  beforeEach(() => {
    its.farEnd.onOrder = (job) => endJob(job, [], { exitStatus: 0 });
  });

  it('names what the client gave last, under the grant that it was given under', async () => {
    await its.cli.run(words(...fromFile()), asCarol);
    its.farEnd.addGrant({ expiresAt: its.world.now + 20 * 3600 });
    await its.cli.run(words(...fromFile('newer'), '--grant', 'G-311'), asCarol);
    const done = await run();
    expect(done.status, done.stderr).toBe(0);
    const { order } = [...its.farEnd.jobs.values()][0]!;
    expect(order.authorization).toBe(its.farEnd.grants[0]!['digest']);
    expect(order.sealedInputs).toEqual({
      stdin: givenReference(String(its.farEnd.credentials[1]!['digest'])),
    });
  });

  it('orders nothing where nothing was given, or it was withdrawn', async () => {
    expect((await run()).stderr).toContain('credential_not_given');
    await its.cli.run(words(...fromFile()), asCarol);
    Object.assign(its.farEnd.credentials[0]!, { state: 'withdrawn' });
    const done = await run();
    expect([done.status, done.stderr]).toEqual([
      3,
      expect.stringContaining('credentials give web-04 --name stdin'),
    ]);
    expect(its.farEnd.jobs.size).toBe(0);
  });

  it('is not said together with a secret of the same name, nor for one that is not taken', async () => {
    const both = await run('--secret', `stdin=${its.file('own', 'x')}`);
    expect(both.stderr).toContain('not from both');
    const check = ['run', 'web-04', 'filesystem.check', '--given', 'stdin'];
    expect((await its.cli.run(check)).stderr).toContain('takes no secret');
    expect(its.farEnd.jobs.size).toBe(0);
  });
});
