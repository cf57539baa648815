import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobSpec } from '../../jobs/job-spec.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { TargetRoot } from '../../target/target-root.ts';
import type { Account } from '../diagnostics/accounts/account-files.ts';
import type { Change } from '../files/change-steps.ts';
import { planChangeSteps } from '../files/change-steps.ts';
import { fileContext } from '../files/testing/file-context.ts';
import { addKey, fixKeyModes } from './authorized-key.ts';
import { parsePublicKey } from './public-key.ts';

const LINE = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6tQbxzKp0ydTmU2u8zjmVqbQ7Jc7xg5v8c1rUjg3eX';
const SECRET = '# a password: canary-of-root\n';
const ANN = { name: 'ann', uid: 1000, gid: 1000, home: '/home/ann' } as Account;

describe('keys of an account that do not belong to it', () => {
  let folder: string;
  let target: Target;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ivk-'));
    target = { root: new TargetRoot(folder), files: new TargetFiles(folder) } as Target;
    place('home/ann', ANN.uid, 0o755);
    place('home/ann/.ssh', ANN.uid, 0o700);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const place = (path: string, uid: number, mode: number, content?: string) => {
    const full = join(folder, path);
    if (content === undefined) mkdirSync(full, { recursive: true });
    else writeFileSync(full, content);
    chownSync(full, uid, uid);
    chmodSync(full, mode);
  };
  const keys = (uid: number, mode: number, content: string) =>
    place('home/ann/.ssh/authorized_keys', uid, mode, content);
  const changeOf = (changes: Change[], name = 'authorized_keys') =>
    changes.find(({ path }) => path.endsWith(name));
  const contentOf = (change: Change | undefined) =>
    change?.kind === 'file' ? change.content?.toString() : undefined;
  const shown = async (changes: Change[]) => {
    const step = { id: 'keys', description: '', verify: '', changes };
    const spec = { parameters: {} } as JobSpec;
    const context = { ...fileContext(folder), spec, directory: folder };
    return JSON.stringify(
      await planChangeSteps(context, target.root, [step]).then(({ steps }) =>
        steps.map((one) => one.step),
      ),
    );
  };

  it.each([
    ['root', 0],
    ['somebody else', 1001],
  ])('are no way to read what %s keeps from it', async (_, uid) => {
    keys(uid, 0o600, SECRET);
    await expect(fixKeyModes(target, ANN)).rejects.toMatchObject({
      reason: 'keys_of_others',
      message: expect.stringContaining('move it away'),
    });
  });

  it('become a file of its own with the lines that hold keys, and no plan shows the others', async () => {
    keys(0, 0o600, `${SECRET}from="192.0.2.1" ${LINE} ann\n`);
    const changes = await fixKeyModes(target, ANN);
    expect(contentOf(changeOf(changes))).toBe(`from="192.0.2.1" ${LINE} ann\n`);
    expect(changeOf(changes)).toMatchObject({ corrects: { mode: 0o600, uid: 1000, gid: 1000 } });
    expect(await shown(changes)).not.toContain('canary');
  });

  it('are root’s still where it can read them', async () => {
    keys(0, 0o644, `${SECRET}${LINE}\n`);
    const change = changeOf(await fixKeyModes(target, ANN));
    expect(change).toMatchObject({ kind: 'attributes', mode: 0o644 });
    expect(change).not.toHaveProperty('uid');
  });

  it('are not what lies readable in a folder that is not', async () => {
    place('home/ann/.ssh', 0, 0o700);
    keys(0, 0o644, `${SECRET}${LINE}\n`);
    const changes = await fixKeyModes(target, ANN);
    expect(contentOf(changeOf(changes))).toBe(`${LINE}\n`);
    expect(changeOf(changes, '.ssh')).toMatchObject({ uid: 1000 });
  });

  it('are not in a folder that holds what is somebody else’s', async () => {
    place('home/ann/.ssh', 0, 0o700);
    place('home/ann/.ssh/dump.sql', 0, 0o644, SECRET);
    await expect(fixKeyModes(target, ANN)).rejects.toMatchObject({ reason: 'keys_of_others' });
  });

  it('are no way to read it by a key that is let in, either', async () => {
    keys(0, 0o600, SECRET);
    const changes = await addKey(target, ANN, parsePublicKey(LINE));
    expect(contentOf(changeOf(changes))).toBe(`${LINE}\n`);
    expect(await shown(changes)).not.toContain('canary');
    expect(readFileSync(join(folder, 'home/ann/.ssh/authorized_keys'), 'utf8')).toBe(SECRET);
    expect(statSync(join(folder, 'home/ann/.ssh/authorized_keys')).uid).toBe(0);
  });
});
