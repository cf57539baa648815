import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';

const its = useCliWorld();
const asAdmin = { profile: 'admin' };

describe('administration', () => {
  it('adds and lists accounts', async () => {
    const added = await its.cli.run(['accounts', 'add', 'acme'], asAdmin);
    expect(added).toMatchObject({ status: 0, stdout: `${its.world.account.id}\n` });
    expect(added.stderr).toContain(
      'Next: intervene --profile admin servers add SERVER --account acme',
    );
    expect((await its.cli.run(['accounts', 'list'], asAdmin)).stdout).toMatch(/^acme\t/);
  });

  it('invites a client of an account by its name, and prints the invitation alone', async () => {
    const words = ['people', 'invite', 'carol', '--role', 'client', '--account', 'acme'];
    const done = await its.cli.run(words, asAdmin);
    expect(done.stdout).toBe('invitation-of-carol\n');
    expect(its.farEnd.requests.at(-1)?.body).toEqual({
      name: 'carol',
      role: 'client',
      account: its.world.account.id,
    });
    const wrong = await its.cli.run(
      ['people', 'invite', 'x', '--role', 'engineer', '--account', 'acme'],
      asAdmin,
    );
    expect(wrong).toMatchObject({ status: 2, stderr: expect.stringContaining('Only clients') });
  });

  it('lists people', async () => {
    expect(
      (await its.cli.run(['people', 'list'], asAdmin)).stdout
        .split('\n')
        .map((line) => line.split('\t')[1]),
    ).toEqual(['engineer', 'client', 'admin', undefined]);
  });

  it('adds a server to a named account, or to the client’s own', async () => {
    await its.cli.run([
      'servers',
      'add',
      'db-01',
      '--account',
      'acme',
      '--service-id',
      '7',
      '--address',
      '192.0.2.1',
      '--address',
      '192.0.2.2',
    ]);
    expect(its.farEnd.requests.at(-1)?.body).toEqual({
      name: 'db-01',
      account: its.world.account.id,
      serviceId: '7',
      addresses: ['192.0.2.1', '192.0.2.2'],
    });
    await its.cli.run(['servers', 'add', 'db-02'], { profile: 'carol' });
    expect(its.farEnd.requests.at(-1)?.body).toEqual({
      name: 'db-02',
      account: its.world.account.id,
    });
  });

  it('opens, shows, closes and packs a case', async () => {
    const opened = await its.cli.run([
      'interventions',
      'open',
      '--server',
      'web-04',
      '--ticket',
      'T-8817',
      '--describe',
      'does not boot',
    ]);
    expect(opened.stdout).toBe('1042\n');
    expect((await its.cli.run(['interventions', 'show', '1042'])).stdout).toContain(
      'ticket\tT-8817',
    );
    expect((await its.cli.run(['interventions', 'close', '1042'])).stderr).toContain(
      'interventions pack 1042',
    );
    its.farEnd.pack = { version: 1, jobs: [] };
    const path = join(its.cli.home, 'pack');
    expect((await its.cli.run(['interventions', 'pack', '1042', '--output', path])).status).toBe(0);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(its.farEnd.pack);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(JSON.parse((await its.cli.run(['interventions', 'pack', '1042'])).stdout)).toEqual(
      its.farEnd.pack,
    );
  });

  it('shows who one is and what is pinned', async () => {
    const { stdout } = await its.cli.run(['whoami'], { profile: 'carol' });
    expect(stdout).toContain('role\tclient\n');
    expect(stdout).toContain(`account keys\t${its.world.account.digest}\n`);
    expect(stdout).toContain('operator root\tnot pinned\n');
  });

  it('shows who is certified, and until when', async () => {
    const { stdout } = await its.cli.run(['engineers', 'list']);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split('\t').slice(0, 2)),
    ).toEqual([
      ['Lea', 'lead'],
      ['Ana', 'engineer'],
      ['Ben', 'engineer'],
    ]);
  });
});

describe('verify', () => {
  const digest = `sha256:${'0'.repeat(64)}`;

  it('needs pins, and a pack', async () => {
    const path = its.file('pack', '{"version":1}');
    expect(await its.cli.run(['verify', path])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('pins_missing'),
    });
    const words = ['verify', path, '--root', digest, '--account-keys', digest];
    expect(await its.cli.run(words)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('pack_malformed'),
    });
    its.file('pack', 'not json');
    expect(await its.cli.run(words)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('not JSON'),
    });
    expect(
      await its.cli.run(['verify', path, '--root', 'x', '--account-keys', digest]),
    ).toMatchObject({ status: 2 });
    expect(await its.cli.run([...words, '--agent', 'x'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('x is no fingerprint'),
    });
  });

  it('ends with 1 when anything fails, says what fails first, and needs no control plane', async () => {
    await its.farEnd.stop();
    const previous = '0'.repeat(64);
    const entry = JSON.stringify({
      previous,
      sequence: 1,
      at: '',
      chain: 'intervention:01042000-0000-4000-8000-000000000001',
      kind: 'intervention.opened',
      content: {},
    });
    const hash = createHash('sha256').update(entry).digest('hex');
    const pack = {
      version: 1,
      intervention: {
        id: '01042000-0000-4000-8000-000000000001',
        number: 1042,
        accountId: its.world.account.id,
        serverId: its.world.server.id,
        serverName: 'web-04',
        ticket: 'T-8817',
        description: '',
        openedAt: '2026-11-25T02:00:00.000Z',
        closedAt: null,
        jobs: 0,
      },
      rootChain: [Buffer.from(its.world.root.envelope).toString('base64')],
      accountKeys: [Buffer.from(its.world.account.envelope).toString('base64')],
      certifications: [],
      grants: [],
      revocations: [],
      jobs: [],
      chain: [{ sequence: 1, entry, previous, hash }],
    };
    const path = its.file('pack', JSON.stringify(pack));
    const words = ['verify', path, '--root', its.world.root.digest];
    const good = await its.cli.run(words, { profile: 'carol' });
    expect(good).toMatchObject({
      status: 0,
      stderr: expect.stringContaining(
        'Intervention 1042 holds, signed by the agent up to entry 0 of 1',
      ),
    });
    const bad = await its.cli.run([...words, '--account-keys', digest], { profile: 'carol' });
    expect(bad.status).toBe(1);
    expect(bad.stdout).toContain('fails\taccount keys\t');
    expect(bad.stderr).toContain('First: account keys: ');
    const log = await its.cli.run([...words, '--log', '/nowhere/log'], { profile: 'carol' });
    expect(log).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('ls -ld /nowhere/log'),
    });
    expect(log.stderr).not.toContain('interventions pack');
    const json = await its.cli.run([...words, '--json'], { profile: 'carol' });
    expect(JSON.parse(json.stdout)).toMatchObject({ intact: true, signedEntries: 0, entries: 1 });
    await its.farEnd.start();
  });
});
