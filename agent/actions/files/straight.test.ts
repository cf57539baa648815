import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TargetPathError, TargetRoot } from '../../target/target-root.ts';
import { stateDigest } from './file-state.ts';
import { makeFolders, missingFolders, removeFolders } from './folders.ts';
import { restoreFile } from './restore-files.ts';
import { fileContext } from './testing/file-context.ts';

let folder: string;
let root: TargetRoot;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivt-'));
  root = new TargetRoot(folder);
  mkdirSync(join(folder, 'other/made'), { recursive: true });
  symlinkSync('other', join(folder, 'own'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const refused = { reason: 'not_a_plain_file' };

it('no folder on the way of a straight change is looked for, made or removed over a link', async () => {
  await expect(missingFolders(root, '/own/new', true)).rejects.toMatchObject(refused);
  await expect(makeFolders(root, '/own/new', undefined, true)).rejects.toMatchObject(refused);
  await expect(removeFolders(root, ['/own/made'], true)).rejects.toMatchObject(refused);
  expect(existsSync(join(folder, 'other/new'))).toBe(false);
  expect(existsSync(join(folder, 'other/made'))).toBe(true);
});

it('every other change follows links that lie in folders of root', async () => {
  await makeFolders(root, '/own/new');
  await removeFolders(root, ['/own/made']);
  expect(existsSync(join(folder, 'other/new'))).toBe(true);
  expect(existsSync(join(folder, 'other/made'))).toBe(false);
});

it('a straight file is not put back over a link that comes while its folder is looked for', async () => {
  writeFileSync(join(folder, 'other/file'), 'of others');
  let looks = 0;
  class LateRoot extends TargetRoot {
    override async openFolder(path: string) {
      if (looks++ > 1) return super.openFolder(path);
      throw new TargetPathError('missing', path);
    }
  }
  const late = new LateRoot(folder);
  const saved = {
    version: 1 as const,
    job: '019a0000-0000-7000-8000-000000000001',
    path: '/own/file',
    before: stateDigest(null),
    after: stateDigest(null),
    existed: false,
    madeFolders: [],
    straight: true,
  };
  const found = { index: 0, saved, standing: 'after' as const };
  const restoring = restoreFile(fileContext(folder), late, folder, found);
  await expect(restoring).rejects.toMatchObject({ reason: 'undo_incomplete' });
  expect(readFileSync(join(folder, 'other/file'), 'utf8')).toBe('of others');
});
