import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TargetRoot } from '../../target/target-root.ts';
import { findAttributeChange, planAttributeChange } from './attribute-change.ts';

let folder: string;
let root: TargetRoot;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'iva-'));
  root = new TargetRoot(folder);
  mkdirSync(join(folder, 'own'), { mode: 0o700 });
  mkdirSync(join(folder, 'secret'), { mode: 0o700 });
  mkdirSync(join(folder, 'backups'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const swap = () => {
  renameSync(join(folder, 'own'), join(folder, 'away'));
  renameSync(join(folder, 'secret'), join(folder, 'own'));
};
const prepared = async (mode: number, uid: number) => {
  const inode = statSync(join(folder, 'own')).ino;
  const planned = await planAttributeChange(root, {
    path: '/own',
    straight: true,
    inode,
    mode,
    uid,
  });
  const place = { folder: join(folder, 'backups'), index: 0 };
  return planned.prepare(place as never, planned.precondition.digest);
};

it('is not made to another that took the name, and looks the same', async () => {
  const { make } = await prepared(0o700, 1000);
  swap();
  await expect(make()).rejects.toMatchObject({ reason: 'changed_since_plan' });
  expect(statSync(join(folder, 'own')).uid).toBe(0);
});

it('is not put back to another that takes the name while that is looked at', async () => {
  chownSync(join(folder, 'own'), 1000, 0);
  chmodSync(join(folder, 'own'), 0o777);
  const { make } = await prepared(0o755, 1000);
  await make();
  const found = await findAttributeChange(root, join(folder, 'backups'), 0);
  expect(found.standing).toBe('after');
  swap();
  await expect(found.restore()).rejects.toMatchObject({ reason: 'changed_since' });
  expect(statSync(join(folder, 'own'))).toMatchObject({ uid: 0 });
});
