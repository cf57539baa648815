import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { findWork } from './disk-work.ts';

let root: string;
let archive: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ivw-'));
  for (const path of ['var/lib/dpkg', 'var/cache/apt/archives']) {
    mkdirSync(join(root, path), { recursive: true });
  }
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const find = (parameters = {}, signal = new AbortController().signal) => {
  const context = { spec: { parameters }, signal } as ActionContext;
  return findWork(context, { files: new TargetFiles(root) } as Target);
};

describe('the archive of a package that must be installed anew', () => {
  beforeEach(() => {
    writeFileSync(
      join(root, 'var/lib/dpkg/status'),
      'Package: shop\nStatus: install reinstreq half-installed\nArchitecture: amd64\nVersion: 1\n',
    );
    archive = join(root, 'var/cache/apt/archives/shop_1_amd64.deb');
  });

  it('is named with the sum of its content', async () => {
    writeFileSync(archive, 'content');
    const digest = `sha256:${createHash('sha256').update('content').digest('hex')}`;
    const path = '/var/cache/apt/archives/shop_1_amd64.deb';
    expect((await find()).archives).toEqual([{ path, name: 'shop', digest }]);
  });

  it('must be there', async () => {
    await expect(find()).rejects.toMatchObject({ reason: 'archive_missing' });
  });

  it('may be no pipe, which nobody writes to', async () => {
    execFileSync('mkfifo', [archive]);
    await expect(find()).rejects.toMatchObject({ reason: 'archive_unusable' });
  });

  it('may be no file without an end', async () => {
    execFileSync('truncate', ['-s', '7T', archive]);
    await expect(find()).rejects.toMatchObject({ reason: 'archive_unusable' });
  });

  it('is read no further once the job is to stop', async () => {
    execFileSync('truncate', ['-s', '100M', archive]);
    await expect(find({}, AbortSignal.abort())).rejects.toThrow('aborted');
  });
});

describe('a package that is held back in a version that another one cannot use', () => {
  beforeEach(() => {
    const stays = 'Package: stays\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1\n';
    const moves = `${stays.replace('stays', 'moves').replace('hold', 'install')}Depends: stays (>= 2)\n`;
    writeFileSync(join(root, 'var/lib/dpkg/status'), `${stays}\n${moves}`);
    writeFileSync(join(root, 'var/cache/apt/archives/stays_2_amd64.deb'), 'content');
  });

  it.each([{}, { releaseHolds: ['moves'] }])('stays so with %j', async (parameters) => {
    await expect(find({ packages: ['stays'], ...parameters })).rejects.toMatchObject({
      reason: 'packages_held',
      message: expect.stringContaining('name stays') as string,
    });
  });

  it('is held no longer once the order names it', async () => {
    const parameters = { packages: ['stays'], releaseHolds: ['stays'] };
    expect(await find(parameters)).toMatchObject({
      released: ['stays'],
      archives: [{ name: 'stays' }],
      findings: ['stays is held back, and moves needs another version of it'],
    });
  });
});
