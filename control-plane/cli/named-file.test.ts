import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { useCliWorld } from '../../test/fixtures/cli-world.ts';
import { CliError } from './cli-error.ts';
import { readNamedText, requireNewFile } from './named-file.ts';

const its = useCliWorld();
const NOWHERE = '/nowhere/file';
const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('a file that a person names', () => {
  beforeEach(() => {
    its.cli.addKey('carol', 'signing', its.world.account.signing, {
      person: its.world.lead.person,
      name: 'carol',
    });
  });

  it.each([
    ['new', ['login', 'http://127.0.0.1:1', '--token-file', NOWHERE]],
    ['new', ['login', 'http://127.0.0.1:1', '--invitation-file', NOWHERE]],
    ['new', ['init', 'http://127.0.0.1:1', '--engineer', 'Eve', '--admin-token-file', NOWHERE]],
    ['carol', ['keys', 'recover', '--no-passphrase', '--recovery-key-file', NOWHERE]],
    [
      'carol',
      [
        ...['authorize', 'web-04', '--ticket', 'T', '--actions', 'filesystem.*', '--yes'],
        ...['--backup', 'yes', '--interruption', 'yes', '--ssh-key-file', NOWHERE],
      ],
    ],
    [
      'carol',
      [
        ...['authorize', 'web-04', '--ticket', 'T', '--actions', 'filesystem.*', '--yes'],
        ...['--backup', 'yes', '--interruption', 'yes', '--passphrase-file', NOWHERE],
      ],
    ],
    ['ana', ['engineers', 'add', 'Ben', '--key-file', NOWHERE]],
    ['ana', ['run', 'web-04', 'command.run', '--secret', `stdin=${NOWHERE}`]],
    ['ana', ['verify', NOWHERE, '--root', DIGEST, '--account-keys', DIGEST]],
  ])('that is not there is told as such: as %s, %j', async (profile, words) => {
    const before = its.farEnd.requests.filter(({ method }) => method !== 'GET').length;
    const done = await its.cli.run(words, { profile });
    expect(done).toMatchObject({ status: 2, stdout: '' });
    expect(done.stderr).toContain('file_unreadable, exit 2');
    expect(done.stderr).toContain(`${NOWHERE} cannot be read: there is no such file.`);
    expect(done.stderr).toMatch(/Safe +Nothing was c/);
    expect(done.stderr).toContain(`ls -ld ${NOWHERE}`);
    expect(its.farEnd.requests.filter(({ method }) => method !== 'GET')).toHaveLength(before);
  });

  it('that cannot be written is told as such', async () => {
    its.farEnd.pack = { version: 1, jobs: [] };
    const done = await its.cli.run(['interventions', 'pack', '1042', '--output', NOWHERE]);
    expect(done.status, done.stderr).toBe(2);
    expect(done.stderr).toContain(`${NOWHERE} cannot be written: there is no such folder.`);
    expect(done.stderr).toContain('ls -ld /nowhere');
  });

  it('for a new recovery key is looked at before any key is made', async () => {
    its.farEnd.accountKeys = [];
    its.cli.login(its.farEnd, 'dora', 'client-token');
    const there = its.file('there', 'mine');
    for (const out of [NOWHERE, there, join(there, 'below')]) {
      const words = ['keys', 'create', '--no-passphrase', '--recovery-out', out];
      const done = await its.cli.run(words, { profile: 'dora' });
      expect(done, done.stderr).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('file_unwritable'),
      });
    }
    expect(readNamedText(there)).toBe('mine');
    expect(its.farEnd.accountKeys).toEqual([]);
    expect((await its.cli.run(['keys', 'list'], { profile: 'dora' })).stdout).toBe('');
  });

  it('is told with its reason where it is a folder, or lies below a file', () => {
    const folder = join(its.cli.home, 'folder');
    mkdirSync(folder);
    writeFileSync(join(folder, 'file'), '');
    const told = (act: () => unknown) => {
      try {
        act();
      } catch (error) {
        expect(error).toBeInstanceOf(CliError);
        return (error as CliError).message;
      }
      return null;
    };
    expect(told(() => readNamedText(folder))).toContain('it is a folder');
    expect(told(() => readNamedText(join(folder, 'file', 'x')))).toContain('is no folder');
    expect(told(() => requireNewFile(join(folder, 'file')))).toContain('not overwritten');
    expect(told(() => requireNewFile(join(folder, 'new')))).toBeNull();
    expect(existsSync(join(folder, 'new'))).toBe(false);
    expect(readdirSync(folder)).toEqual(['file']);
  });
});
