import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { followAccountKeysChain } from '../../../proto/documents/chain.ts';
import { digestOf, openDocument, readUnverified } from '../../../proto/documents/document.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import { FAR_NOW } from '../../../test/fixtures/far-end.ts';
import { envelopeBytes, useCliWorld } from '../../../test/fixtures/cli-world.ts';

const its = useCliWorld();
const asCarol = { profile: 'carol' };

describe('keys of a client', () => {
  const create = (...more: string[]) =>
    its.cli.run(['keys', 'create', '--no-passphrase', ...more], asCarol);

  beforeEach(() => {
    its.farEnd.accountKeys = [];
    its.cli.login(its.farEnd, 'carol', 'client-token');
  });

  it('are version 1 with a recovery key, then versions that follow it', async () => {
    const first = await create();
    expect(first.stdout).toMatch(/^(?:[0-9A-Z]{8}-){6}[0-9A-Z]{8}\n$/);
    const second = await create();
    expect([first.status, second.status, second.stdout]).toEqual([0, 0, '']);
    const pin = (
      JSON.parse(
        (await its.cli.run(['keys', 'create', '--no-passphrase', '--json'], asCarol)).stdout,
      ) as { pin: string }
    ).pin;
    const newest = followAccountKeysChain(its.farEnd.accountKeys.map(envelopeBytes), pin);
    expect(newest.payload.keys.map((entry) => entry.use).toSorted()).toEqual([
      'recovery',
      'signing',
      'signing',
      'signing',
    ]);
  });

  it('are had again with the key on paper, which is replaced; lost ones can be given up', async () => {
    const paper = its.file('paper', (await create()).stdout);
    const lost = (await its.cli.run(['keys', 'list'], asCarol)).stdout.split('\t')[1] ?? '';
    its.cli.login(its.farEnd, 'phone', 'client-token');
    const phone = { profile: 'phone' };
    const without = await its.cli.run(['keys', 'create', '--no-passphrase'], phone);
    expect([without.status, without.stderr.includes('no_account_key')]).toEqual([3, true]);
    // A second person of the account is not sent to what would end the keys of the first.
    expect(without.stderr).toMatch(/ends all others, those\s+of\s+colleagues\s+too/);
    expect(without.stderr).not.toMatch(/Next .*recover/);
    const words = [
      'keys',
      'create',
      '--no-passphrase',
      '--recovery-key-file',
      paper,
      '--remove',
      lost,
    ];
    const done = await its.cli.run(words, phone);
    expect(done.status).toBe(0);
    expect(done.stdout.trim()).not.toBe(readFileSync(paper, 'utf8').trim());
    const { payload } = readUnverified('account-keys', envelopeBytes(its.farEnd.accountKeys[1]));
    expect(payload.keys.map((entry) => entry.use)).toEqual(['signing', 'recovery']);
    expect((await its.cli.run(words, phone)).stderr).toContain('not one of the account any more');
  });

  const newest = () =>
    readUnverified('account-keys', envelopeBytes(its.farEnd.accountKeys.at(-1))).payload;
  const fingerprints = async (profile = asCarol) =>
    (await its.cli.run(['keys', 'list'], profile)).stdout
      .split('\n')
      .flatMap((line) => line.split('\t')[1] ?? []);

  it('rotate: a new one is signed by the one it replaces, which the account gives up', async () => {
    await create();
    const [old] = await fingerprints();
    const done = await its.cli.run(['keys', 'rotate', '--no-passphrase'], asCarol);
    expect(done.status, done.stderr).toBe(0);
    expect(done.stderr).toContain(`Given up: ${old}`);
    const { version, keys } = newest();
    expect([version, keys.map((entry) => entry.use).toSorted()]).toEqual([
      2,
      ['recovery', 'signing'],
    ]);
    expect(keys.map(({ key }) => keyFingerprint(key))).not.toContain(old);
    const chain = its.farEnd.accountKeys.map(envelopeBytes);
    expect(followAccountKeysChain(chain, digestOf(chain[0]!)).payload.version).toBe(2);
    // The old key signs nothing any more, also here.
    const grant = ['authorize', 'web-04', '--ticket', 'T', '--actions', '*', '--backup', 'yes'];
    const words = [...grant, '--interruption', 'yes', '--yes', '--key', 'signing'];
    const refused = (await its.cli.run(words, asCarol)).stderr;
    expect(refused).toContain('not a signing key');
    expect(refused).toMatch(/Next .*keys list/);
  });

  it('recover: the key on paper makes new ones, and ends every other', async () => {
    const paper = its.file('paper', (await create()).stdout);
    await create();
    const lost = (await fingerprints()).toSorted();
    its.cli.login(its.farEnd, 'phone', 'client-token');
    const phone = { profile: 'phone' };
    const recover = ['keys', 'recover', '--no-passphrase', '--recovery-key-file', paper];
    const done = await its.cli.run(recover, phone);
    expect(done.status, done.stderr).toBe(0);
    const uses = () =>
      newest()
        .keys.map((entry) => entry.use)
        .toSorted();
    expect(uses()).toEqual(['recovery', 'signing']);
    const made = readUnverified('account-keys', envelopeBytes(its.farEnd.accountKeys[0])).payload;
    const paperKey = made.keys.find((entry) => entry.use === 'recovery')!.key;
    const revoked = openDocument('revoke', envelopeBytes(its.farEnd.revocations[0]?.['envelope']), [
      paperKey,
    ]).payload;
    expect(revoked).toMatchObject({ grants: [], afterStep: true });
    expect(revoked.keys.toSorted()).toEqual(lost);
    const posts = its.farEnd.requests.filter(({ method }) => method === 'POST');
    expect(posts.slice(-2).map(({ path }) => path.split('/').at(-1))).toEqual([
      'revocations',
      'keys',
    ]);
    expect((await its.cli.run(recover, phone)).stderr).toContain('recovery_key_wrong');
    const next = its.file('next', done.stdout);
    const [kept] = await fingerprints(phone);
    its.cli.login(its.farEnd, 'tablet', 'client-token');
    const again = await its.cli.run([...recover.slice(0, -1), next, '--keep', kept!], {
      profile: 'tablet',
    });
    expect(again.status, again.stderr).toBe(0);
    expect(uses()).toEqual(['recovery', 'signing', 'signing']);
    const wrong = await its.cli.run([...recover, '--keep', `SHA256:${'A'.repeat(43)}`], phone);
    expect(wrong.status).toBe(2);
  });

  it('are nothing to rotate or recover for people of the provider, or before there are any', async () => {
    for (const verb of ['rotate', 'recover']) {
      const words = ['keys', verb, ...(verb === 'recover' ? ['--recovery-key-file', '-'] : [])];
      expect(await its.cli.run(words)).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('not_a_client'),
      });
    }
    const early = await its.cli.run(['keys', 'rotate', '--no-passphrase'], asCarol);
    expect(early).toMatchObject({ status: 2, stderr: expect.stringContaining('no_account_key') });
    expect(its.farEnd.accountKeys).toEqual([]);
  });

  it('show the recovery key on a terminal until its last group is typed', async () => {
    const done = await its.cli.run(['keys', 'create', '--no-passphrase'], {
      ...asCarol,
      columns: 80,
      answers: ['wrong\r', '\u0003'],
    });
    expect(done.status).toBe(130);
    expect(done.stderr).toContain('That is not the last group.');
    expect(its.farEnd.accountKeys).toHaveLength(0);
    const [made] = await fingerprints();
    expect((await create()).status).toBe(0);
    expect(await fingerprints()).toEqual([made]);
  });

  it('whose publication fails are gone on with by the next run, under the same key', async () => {
    const out = join(its.cli.home, 'recovery');
    its.farEnd.keysFate = 'refused';
    const failed = await create('--recovery-out', out);
    expect(failed.status).not.toBe(0);
    expect(failed.stderr).toContain('keys_outdated');
    expect(failed.stderr.replace(/\s+/g, ' ')).toContain(
      'The key "signing" is kept, and the same command goes on with it.',
    );
    const [made] = await fingerprints();
    const useless = readFileSync(out, 'utf8');
    its.farEnd.keysFate = 'stored';
    const done = await create('--recovery-out', out);
    expect(done.status, done.stderr).toBe(0);
    expect(done.stderr).toContain('Going on with the key "signing"');
    expect(await fingerprints()).toEqual([made]);
    expect(newest().keys.map(({ key }) => keyFingerprint(key))).toContain(made);
    expect(readFileSync(out, 'utf8')).not.toBe(useless);
    // What is done is done: the next one is another key.
    expect((await create()).status).toBe(0);
    expect(await fingerprints()).toHaveLength(2);
  });

  it('whose answer is lost are told of by the next run, which makes no others', async () => {
    its.farEnd.keysFate = 'lost';
    const lost = await create();
    expect(lost.status).not.toBe(0);
    expect(lost.stdout).toMatch(/^(?:[0-9A-Z]{8}-){6}[0-9A-Z]{8}\n$/);
    its.farEnd.keysFate = 'stored';
    const done = await create();
    expect([done.status, done.stdout]).toEqual([0, '']);
    expect(done.stderr.replace(/\s+/g, ' ')).toContain('The earlier attempt did arrive');
    expect(its.farEnd.accountKeys).toHaveLength(1);
    expect(await fingerprints()).toHaveLength(1);
    const paper = its.file('paper', lost.stdout);
    const recovered = await its.cli.run(
      ['keys', 'recover', '--no-passphrase', '--recovery-key-file', paper],
      asCarol,
    );
    expect(recovered.status, recovered.stderr).toBe(0);
  });

  it('are encrypted under a passphrase that is typed twice and never shown', async () => {
    const typed = ['correct horse\r', 'correct horse\r'];
    const words = ['keys', 'create', '--recovery-out', join(its.cli.home, 'paper')];
    const done = await its.cli.run(words, { ...asCarol, columns: 80, answers: typed });
    expect(done.status).toBe(0);
    expect(done.stderr).not.toContain('horse');
    const list = await its.cli.run(['keys', 'list'], asCarol);
    expect(list.stdout).toContain('\tpassphrase');
    const other = await its.cli.run(['keys', 'create'], {
      ...asCarol,
      columns: 80,
      answers: ['wrong\r'],
    });
    expect(other).toMatchObject({ status: 3, stderr: expect.stringContaining('passphrase_wrong') });
    expect(its.farEnd.accountKeys).toHaveLength(1);
  });

  it('are not made where a passphrase file is named that cannot be read', async () => {
    const done = await create('--passphrase-file', '/nowhere/passphrase');
    expect(done).toMatchObject({ status: 2, stderr: expect.stringContaining('file_unreadable') });
    expect((await its.cli.run(['keys', 'list'], asCarol)).stdout).toBe('');
  });

  it('are not made under two different passphrases', async () => {
    const answers = ['one\r', 'two\r'];
    const done = await its.cli.run(['keys', 'create'], { ...asCarol, columns: 80, answers });
    expect(done).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('passphrases_differ'),
    });
    expect(its.farEnd.accountKeys).toHaveLength(0);
  });

  it('go into a file for the owner alone when told to', async () => {
    const out = join(its.cli.home, 'recovery');
    expect((await create('--recovery-out', out)).stdout).toBe('');
    expect(statSync(out).mode & 0o777).toBe(0o600);
  });
});

describe('engineers', () => {
  it('are certified by a lead who was handed the public part', async () => {
    const owner = { person: its.world.lead.person, name: 'Lea' };
    its.cli.login(its.farEnd, 'lea', 'engineer-token');
    its.cli.addKey('lea', 'engineer', its.world.lead, owner);
    const exported = await its.cli.run(['keys', 'export']);
    const path = its.file('ana.pub', exported.stdout);
    its.farEnd.certifications = its.farEnd.certifications.slice(0, 1);
    const done = await its.cli.run(['engineers', 'add', 'Ana', '--key-file', path, '--for', '3d'], {
      profile: 'lea',
    });
    expect(done.stderr).toContain('certified as engineer');
    const engineer = openDocument('engineer', envelopeBytes(its.farEnd.certifications[1]), [
      its.world.lead.key,
    ]);
    expect(engineer.payload.keys).toEqual([its.world.engineers[0].key]);
    expect(engineer.payload.expiresAt - FAR_NOW / 1000).toBe(3 * 86_400);
  });

  it('are not certified under another name, for too long, or by who is no lead', async () => {
    const path = its.file('ana.pub', (await its.cli.run(['keys', 'export'])).stdout);
    const add = (...words: string[]) =>
      its.cli.run(['engineers', 'add', ...words, '--key-file', path]);
    expect((await add('Bea')).stderr).toContain('engineers add Ana --key-file');
    expect((await add('Ana', '--for', '8d')).status).toBe(2);
    expect(await add('Ana')).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('not_a_lead'),
    });
    const broken = await its.cli.run([
      'engineers',
      'add',
      'Ana',
      '--key-file',
      its.file('x', '{}'),
    ]);
    expect(broken.stderr).toContain('not_a_public_key');
  });

  it('lose their keys by a signed revocation', async () => {
    const done = await its.cli.run(['engineers', 'remove', 'Ben']);
    expect(done.status).toBe(0);
    const revoke = openDocument('revoke', envelopeBytes(its.farEnd.revocations[0]?.['envelope']), [
      its.world.engineers[0].key,
    ]);
    expect(revoke.payload.keys).toEqual([its.world.engineers[1].fingerprint]);
    expect((await its.cli.run(['engineers', 'remove', 'Bem'])).stderr).toContain(
      'Did you mean Ben?',
    );
  });
});
