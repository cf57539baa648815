import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planSchema } from '../../../proto/documents/kinds/plan.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { makeChange, prepareChange, type PreparedChange } from './change-files.ts';
import { planFileChange, type FileChange } from './plan-file-change.ts';
import { findSavedFiles, requireUnchanged, restoreFiles } from './restore-files.ts';
import { fileContext } from './testing/file-context.ts';

let folder: string;
let root: string;
let backups: string;
let target: TargetRoot;
let context: ReturnType<typeof fileContext>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivf-'));
  root = join(folder, 'root');
  backups = join(folder, 'backups');
  mkdirSync(join(root, 'etc'), { recursive: true });
  mkdirSync(backups);
  target = new TargetRoot(root);
  context = fileContext(folder);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (path: string) => join(root, path);
const wanted = (path: string, text: string | null): FileChange => ({
  path,
  content: text === null ? null : Buffer.from(text),
  mode: 0o644,
});

async function prepare(change: FileChange, index = 0): Promise<PreparedChange> {
  const { precondition } = await planFileChange(target, change);
  return prepareChange(context, target, change, precondition.digest, { folder: backups, index });
}

async function undo(): Promise<void> {
  const found = await findSavedFiles(target, backups);
  requireUnchanged(found);
  await restoreFiles(context, target, backups, found);
}

describe('a file that is changed', () => {
  it('keeps mode, set-user-id, owner and extended attributes, and is put back with its time', async () => {
    const file = at('/etc/a');
    writeFileSync(file, 'old\n');
    chownSync(file, 33, 34);
    chmodSync(file, 0o4750);
    execFileSync('setfattr', ['-n', 'user.note', '-v', 'kept', file]);
    execFileSync('touch', ['-d', '2001-02-03T04:05:06.789012345', file]);
    const before = statSync(file, { bigint: true });
    await makeChange(context, target, await prepare(wanted('/etc/a', 'new\n')));
    const changed = statSync(file, { bigint: true });
    expect(readFileSync(file, 'utf8')).toBe('new\n');
    expect([changed.mode, changed.uid, changed.gid]).toEqual([before.mode, before.uid, before.gid]);
    expect(changed.mtimeNs).toBeGreaterThan(before.mtimeNs);
    const note = () => execFileSync('getfattr', ['-n', 'user.note', '--only-values', file]);
    expect(note().toString()).toBe('kept');
    await undo();
    const back = statSync(file, { bigint: true });
    expect(readFileSync(file, 'utf8')).toBe('old\n');
    expect([back.mode, back.uid, back.gid, back.mtimeNs]).toEqual([
      before.mode,
      before.uid,
      before.gid,
      before.mtimeNs,
    ]);
    expect(note().toString()).toBe('kept');
    expect(readdirSync(at('/etc'))).toEqual(['a']);
  });

  it('may be one of several; each is put back', async () => {
    writeFileSync(at('/etc/a'), 'a');
    const one = await prepare(wanted('/etc/a', 'A'), 0);
    const two = await prepare(wanted('/etc/new/b', 'B'), 1);
    await makeChange(context, target, one);
    await makeChange(context, target, two);
    expect(readFileSync(at('/etc/new/b'), 'utf8')).toBe('B');
    expect(statSync(at('/etc/new/b')).mode & 0o777).toBe(0o644);
    await undo();
    expect(readFileSync(at('/etc/a'), 'utf8')).toBe('a');
    expect(readdirSync(at('/etc'))).toEqual(['a']);
  });

  it('leaves folders alone in which somebody has put something since', async () => {
    await makeChange(context, target, await prepare(wanted('/etc/new/b', 'B')));
    writeFileSync(at('/etc/new/other'), '');
    await undo();
    expect(readdirSync(at('/etc/new'))).toEqual(['other']);
  });

  it('is not changed when it is not as it was planned', async () => {
    writeFileSync(at('/etc/a'), 'old');
    const { precondition } = await planFileChange(target, wanted('/etc/a', 'new'));
    const place = { folder: backups, index: 0 };
    const late = () =>
      prepareChange(context, target, wanted('/etc/a', 'new'), precondition.digest, place);
    chmodSync(at('/etc/a'), 0o600);
    await expect(late()).rejects.toMatchObject({ reason: 'changed_since_plan' });
    chmodSync(at('/etc/a'), 0o644);
    const prepared = await late();
    writeFileSync(at('/etc/a'), 'other');
    await expect(makeChange(context, target, prepared)).rejects.toMatchObject({
      reason: 'changed_since_plan',
    });
    expect(readFileSync(at('/etc/a'), 'utf8')).toBe('other');
  });

  it('is not put back over what somebody has written since', async () => {
    writeFileSync(at('/etc/a'), 'old');
    await makeChange(context, target, await prepare(wanted('/etc/a', 'new')));
    writeFileSync(at('/etc/a'), 'theirs');
    await expect(undo()).rejects.toMatchObject({ reason: 'changed_since' });
    expect(readFileSync(at('/etc/a'), 'utf8')).toBe('theirs');
  });

  it('that may not be changed stays, and nothing is left beside it', async () => {
    writeFileSync(at('/etc/a'), 'old');
    const prepared = await prepare(wanted('/etc/a', 'new'));
    execFileSync('chattr', ['+i', at('/etc/a')]);
    try {
      await expect(makeChange(context, target, prepared)).rejects.toThrow(/EPERM/);
    } finally {
      execFileSync('chattr', ['-i', at('/etc/a')]);
    }
    expect(readFileSync(at('/etc/a'), 'utf8')).toBe('old');
    await undo();
    expect(readdirSync(at('/etc'))).toEqual(['a']);
  });

  it('is refused when it is a symlink, and the target of that is not touched', async () => {
    writeFileSync(at('/etc/real'), 'real');
    symlinkSync('real', at('/etc/a'));
    await expect(planFileChange(target, wanted('/etc/a', 'new'))).rejects.toMatchObject({
      reason: 'not_a_plain_file',
    });
    const prepared = await prepare(wanted('/etc/b', 'new'));
    symlinkSync('real', at('/etc/b'));
    await expect(makeChange(context, target, prepared)).rejects.toMatchObject({
      reason: 'not_a_plain_file',
    });
    expect(readFileSync(at('/etc/real'), 'utf8')).toBe('real');
  });

  it('is refused when it is too large to be a setting', async () => {
    writeFileSync(at('/etc/a'), Buffer.alloc(1024 * 1024 + 1));
    await expect(planFileChange(target, wanted('/etc/a', 'new'))).rejects.toMatchObject({
      reason: 'file_too_large',
    });
  });
});

describe('the plan of a change', () => {
  it('shows all of a long difference in pieces that a plan can hold', async () => {
    const text = Array.from({ length: 2000 }, (_, line) => `line ${line} "quoted"\n`).join('');
    const { changes, isNeeded } = await planFileChange(target, wanted('/etc/a', text));
    expect(isNeeded).toBe(true);
    const change = planSchema.shape.steps.element.shape.changes;
    expect(change.safeParse(changes).success).toBe(true);
    const shown = changes.map((one) => (one.type === 'diff' ? one.diff : '')).join('');
    expect(shown.match(/^\+line/gm)).toHaveLength(2000);
  });

  it('needs nothing when the file is so already, or is to go and is not there', async () => {
    writeFileSync(at('/etc/a'), 'same');
    expect((await planFileChange(target, wanted('/etc/a', 'same'))).isNeeded).toBe(false);
    expect((await planFileChange(target, wanted('/etc/b', null))).isNeeded).toBe(false);
    expect(existsSync(at('/etc/b'))).toBe(false);
  });

  it('names what is no text by its digest', async () => {
    writeFileSync(at('/etc/a'), Buffer.from([0xff, 0xfe, 0]));
    const { changes } = await planFileChange(target, wanted('/etc/a', 'text'));
    expect(JSON.stringify(changes)).toMatch(/Not text: sha256:[0-9a-f]{64}/);
  });
});
