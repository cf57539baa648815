import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openDocument, readUnverified } from '../../../proto/documents/document.ts';
import { FAR_NOW } from '../../../test/fixtures/far-end.ts';
import { envelopeBytes, useCliWorld } from '../../../test/fixtures/cli-world.ts';

const its = useCliWorld();
const asCarol = { profile: 'carol' };

describe('login', () => {
  it('turns an invitation into a token that only its owner can read, and pins what it sees', async () => {
    const invitation = its.file('invitation', 'invitation-of-carol\n');
    const done = await its.cli.run(['login', its.farEnd.url, '--invitation-file', invitation], {
      profile: 'new',
    });
    expect(done.status).toBe(0);
    const folder = join(its.cli.home, 'profiles/new');
    expect(readFileSync(join(folder, 'token'), 'utf8')).toBe('client-token\n');
    expect(statSync(join(folder, 'token')).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(JSON.parse(readFileSync(join(folder, 'profile.json'), 'utf8'))).toMatchObject({
      rootDigest: its.world.root.digest,
      accountKeysDigest: its.world.account.digest,
    });
  });

  it('asks for the token without showing it', async () => {
    const done = await its.cli.run(['login', its.farEnd.url], {
      profile: 'new',
      columns: 80,
      answers: ['engineer-token\r'],
    });
    expect(done.status).toBe(0);
    expect(done.stdout + done.stderr).not.toContain('engineer-token');
    expect(done.stderr).toContain('logged in');
  });

  it('tries what is no token as an invitation', async () => {
    const done = await its.cli.run(['login', its.farEnd.url], {
      profile: 'new',
      columns: 80,
      answers: ['invitation-of-carol\r'],
    });
    expect(done.status).toBe(0);
    expect(done.stderr).toContain('carol (client)');
  });

  it('without a terminal needs a file, and says so', async () => {
    const done = await its.cli.run(['login', its.farEnd.url], { profile: 'new' });
    expect(done.status).toBe(2);
    expect(done.stderr).toContain('--token-file FILE');
  });

  it('does not send a token over an open network', async () => {
    const done = await its.cli.run(
      ['login', 'http://cp.example.net', '--token-file', its.file('t', 'x')],
      {
        profile: 'new',
      },
    );
    expect(done.status).toBe(2);
    expect(done.stderr).toContain('login https://cp.example.net');
  });

  it.each(['cp.example.net', 'ftp://x'])('refuses %s', async (url) => {
    expect((await its.cli.run(['login', url], { profile: 'new' })).status).toBe(2);
  });

  it('keeps pinned keys of another control plane', async () => {
    const done = await its.cli.run(
      ['login', 'http://127.0.0.1:9', '--token-file', its.file('t', 'x')],
      asCarol,
    );
    expect(done.status).toBe(2);
    expect(done.stderr).toContain('profile_taken');
  });

  it('fails with a wrong token, and writes nothing', async () => {
    const done = await its.cli.run(
      ['login', its.farEnd.url, '--token-file', its.file('t', 'wrong')],
      {
        profile: 'new',
      },
    );
    expect(done.status).toBe(3);
    expect(existsSync(join(its.cli.home, 'profiles/new'))).toBe(false);
  });
});

describe('init', () => {
  const words = (...more: string[]) => ['init', its.farEnd.url, '--no-passphrase', ...more];

  beforeEach(() => {
    its.farEnd.root = [];
    its.farEnd.certifications = [];
    // Whoever redeems the invitation is the new engineer here.
    its.farEnd.people.set('client-token', its.farEnd.people.get('engineer-token') ?? {});
  });

  it('makes root, lead and engineer documents that hold, in a new profile', async () => {
    const admin = its.file('admin', 'admin-token');
    const done = await its.cli.run(words('--engineer', 'Ana', '--admin-token-file', admin), {
      profile: 'lead',
    });
    expect(done.stderr).toContain('operator root');
    expect(done.status).toBe(0);
    const root = readUnverified('root', envelopeBytes(its.farEnd.root[0])).payload;
    const rootKeys = root.keys.map((entry) => entry.key);
    openDocument('root', envelopeBytes(its.farEnd.root[0]), rootKeys);
    const lead = openDocument('lead', envelopeBytes(its.farEnd.certifications[0]), rootKeys);
    const engineer = openDocument(
      'engineer',
      envelopeBytes(its.farEnd.certifications[1]),
      lead.payload.keys,
    );
    expect(engineer.payload.expiresAt - FAR_NOW / 1000).toBe(12 * 3600);
    expect(lead.payload.person).toBe(engineer.payload.person);
  });

  it('goes on where it was interrupted, with the same keys', async () => {
    const admin = its.file('admin', 'admin-token');
    const first = await its.cli.run(words('--engineer', 'Ana', '--admin-token-file', admin), {
      profile: 'lead',
    });
    const again = await its.cli.run(words(), { profile: 'lead' });
    expect([first.status, again.status]).toEqual([0, 0]);
    expect(again.stdout).toBe(first.stdout);
    expect(its.farEnd.root).toHaveLength(1);
  });

  it('refuses the data folder of a control plane', async () => {
    mkdirSync(join(its.cli.home, 'ca'));
    writeFileSync(join(its.cli.home, 'ca/ca.key'), '');
    const done = await its.cli.run(words('--engineer', 'Ana'), { profile: 'lead' });
    expect(done.status).toBe(3);
    expect(done.stderr).toContain('data_folder');
    expect(existsSync(join(its.cli.home, 'profiles/lead'))).toBe(false);
  });

  it('is not for clients or administrators, and needs an administrator to publish', async () => {
    its.farEnd.people.set('client-token', {
      ...its.farEnd.people.get('admin-token'),
      role: 'client',
    });
    expect((await its.cli.run(words(), asCarol)).stderr).toContain('belongs to the provider');
    const admin = await its.cli.run(words(), { profile: 'admin' });
    expect(admin.status).toBe(2);
    expect(admin.stderr).toContain('--admin-profile admin');
    const engineer = await its.cli.run(words());
    expect(engineer.status).toBe(3);
    expect(engineer.stderr).toContain('needs_admin');
  });

  it('makes nobody where it cannot make a lead, and says what it made where it fails later', async () => {
    const admin = its.file('admin', 'admin-token');
    const lead = { profile: 'lead' };
    its.farEnd.root = [Buffer.from(its.world.root.envelope).toString('base64')];
    const made = () =>
      its.farEnd.requests.filter(
        ({ method, path }) => method === 'POST' && path.endsWith('/people'),
      );
    const refused = await its.cli.run(words('--engineer', 'O', '--admin-token-file', admin), lead);
    expect(refused.status).toBe(3);
    expect(refused.stderr).toMatch(/root_exists[^]*Safe {6}Nothing was changed\./);
    expect(made()).toEqual([]);
    expect(existsSync(join(its.cli.home, 'profiles/lead'))).toBe(false);

    its.farEnd.root = [];
    const asking = ['init', its.farEnd.url, '--engineer', 'O', '--admin-token-file', admin];
    const half = await its.cli.run([...asking, '--no-input'], lead);
    expect(half.status).not.toBe(0);
    expect(made()).toHaveLength(1);
    expect(half.stderr).toContain('O was made and logged in here; running init again goes on');
  });

  it('does not take over a root that somebody else made', async () => {
    its.farEnd.root = [Buffer.from(its.world.root.envelope).toString('base64')];
    const done = await its.cli.run(words('--admin-profile', 'admin'));
    expect(done.status).toBe(3);
    expect(done.stderr).toContain('root_exists');
  });
});
