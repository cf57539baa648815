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

describe('the archive of a package that must be installed anew', () => {
  let root: string;
  let archive: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'ivw-'));
    for (const path of ['var/lib/dpkg', 'var/cache/apt/archives']) {
      mkdirSync(join(root, path), { recursive: true });
    }
    writeFileSync(
      join(root, 'var/lib/dpkg/status'),
      'Package: shop\nStatus: install reinstreq half-installed\nArchitecture: amd64\nVersion: 1\n',
    );
    archive = join(root, 'var/cache/apt/archives/shop_1_amd64.deb');
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const find = (signal = new AbortController().signal) => {
    const context = { spec: { parameters: {} }, signal } as ActionContext;
    return findWork(context, { files: new TargetFiles(root) } as Target);
  };

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
    await expect(find(AbortSignal.abort())).rejects.toThrow('aborted');
  });
});
