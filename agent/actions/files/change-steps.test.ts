import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { itEach } from '../../../test/fixtures/matrix.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { planChangeSteps, takeBackChanges, type Change } from './change-steps.ts';
import { manySteps } from './testing/change-many.ts';
import { fileContext } from './testing/file-context.ts';

const program = join(import.meta.dirname, 'testing/change-many.ts');
const MOST_CALLS = 80;

let folder: string;
let root: string;
let backups: string;
let context: ReturnType<typeof fileContext>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivs-'));
  root = join(folder, 'root');
  backups = join(folder, 'backups');
  mkdirSync(join(folder, 'pipes'));
  context = fileContext(join(folder, 'pipes'));
  context.spec.parameters = {};
});
afterEach(() => {
  sh('chattr -f -i etc/flagged || true');
  rmSync(folder, { recursive: true, force: true });
});

function sh(script: string): string {
  return execFileSync('sh', ['-ec', script], { cwd: root, encoding: 'utf8' });
}

/** A tree with something for each change; returns how it looks. */
function begin(): string {
  if (sh0('test -d root')) sh('chattr -f -i etc/flagged || true');
  rmSync(root, { recursive: true, force: true });
  rmSync(backups, { recursive: true, force: true });
  for (const path of ['etc', 'home/ann']) mkdirSync(join(root, path), { recursive: true });
  mkdirSync(backups);
  for (const name of ['flagged', 'removed', 'open'])
    writeFileSync(join(root, 'etc', name), 'old\n');
  chmodSync(join(root, 'etc/open'), 0o4777);
  chmodSync(join(root, 'home'), 0o1777);
  symlinkSync('/dev/null', join(root, 'etc/mask'));
  symlinkSync('/here', join(root, 'etc/turned'));
  sh(`setfattr -n security.selinux -v system_u:object_r:etc_t:s0 etc/flagged
    chown 33:34 etc/removed; chattr +i etc/flagged`);
  return look();
}

function sh0(script: string): boolean {
  return spawnSync('sh', ['-ec', script], { cwd: folder }).status === 0;
}

function look(): string {
  return sh(`
    find . -type f -printf '%p %m %U %G %s %T@\\n' | sort
    find . -type d -printf '%p %m %U %G\\n' | sort
    find . -type l -printf '%p %l\\n' | sort
    find . -type f | sort | xargs sha256sum
    find . | sort | xargs getfattr -h -d -m - | cat
    find . -type f | sort | xargs lsattr`);
}

/** Runs the program, killed (kill -9) before its nth call; whether it was. */
function run(what: 'apply' | 'undo', call = 'rmdir', nth = 1000): boolean {
  const inject = `inject=${call}:signal=SIGKILL:when=${nth}`;
  const done = spawnSync(
    'strace',
    [
      ...['-f', '-qqq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject],
      ...[process.execPath, program, root, backups, folder, what],
    ],
    { env: { ...process.env, UV_THREADPOOL_SIZE: '1' }, encoding: 'utf8' },
  );
  if (done.error !== undefined) throw done.error;
  // Where a program was killed that it runs, it has said so.
  const isKilled =
    done.signal === 'SIGKILL' || /backup_incomplete|flags_not_set|mkfifo/.test(done.stderr);
  if (!isKilled && done.status !== 0) throw new Error(`${what} failed: ${done.stderr}`);
  return isKilled;
}

const undo = () => takeBackChanges(context, new TargetRoot(root), backups);

describe('changes of every kind', () => {
  it('are made as the steps say, and taken back to what was', async () => {
    const before = begin();
    run('apply');
    expect(sh(`stat -c '%n %a %u %g' etc/flagged etc/open home home/ann/.ssh home/ann/.ssh/keys`))
      .toBe(`etc/flagged 600 0 0
etc/open 640 33 34
home 755 0 0
home/ann/.ssh 700 33 34
home/ann/.ssh/keys 600 33 34
`);
    expect(sh('cat etc/flagged; readlink etc/wants/unit etc/turned; ls etc')).toBe(
      'new\n/lib/unit\n/there\nflagged\nopen\nturned\nwants\n',
    );
    expect(sh('lsattr etc/flagged')).toMatch(/^\S*i/);
    expect(sh('getfattr --only-values -n security.selinux etc/flagged')).toContain('etc_t');
    await undo();
    expect(look()).toBe(before);
  });

  it('give what is new the label that the policy of its system has for it, or that of its folder', async () => {
    begin();
    sh(`mkdir -p etc/selinux/targeted/contexts/files
      printf 'SELINUX=enforcing\\nSELINUXTYPE=targeted\\n' > etc/selinux/config
      printf '/home/[^/]+/\\.ssh(/.*)?\\tuser_u:object_r:ssh_home_t:s0\\n/etc/wants/.*\\t-l\\tsystem_u:object_r:systemd_unit_file_t:s0\\n' \
        > etc/selinux/targeted/contexts/files/file_contexts
      for place in etc home home/ann; do setfattr -n security.selinux -v system_u:object_r:etc_t:s0 $place; done`);
    const before = look();
    run('apply');
    const typeOf = (path: string) => sh(`getfattr -h --only-values -n security.selinux ${path}`);
    expect(typeOf('home/ann/.ssh')).toBe('user_u:object_r:ssh_home_t:s0');
    expect(typeOf('home/ann/.ssh/keys')).toBe('user_u:object_r:ssh_home_t:s0');
    expect(typeOf('etc/wants')).toBe('system_u:object_r:etc_t:s0');
    expect(typeOf('etc/wants/unit')).toBe('system_u:object_r:systemd_unit_file_t:s0');
    expect(typeOf('etc/flagged')).toBe('system_u:object_r:etc_t:s0');
    await undo();
    expect(look()).toBe(before);
  });

  it('are planned with what they need only, and a second plan finds nothing to do', async () => {
    begin();
    const plan = () => planChangeSteps(context, new TargetRoot(root), manySteps);
    const first = await plan();
    expect(first.steps.map(({ step }) => step.id)).toEqual(['files', 'rest']);
    expect(first.preconditions).toHaveLength(9);
    run('apply');
    expect(await plan()).toEqual({ steps: [], preconditions: [], backupBytes: 0 });
  });

  it('are not taken back over what somebody else has made of one since', async () => {
    begin();
    run('apply');
    sh('ln -sfn /elsewhere etc/turned');
    const after = look();
    await expect(undo()).rejects.toMatchObject({ reason: 'changed_since' });
    expect(look()).toBe(after);
  });

  it.each<[what: string, change: Change, reason: string]>([
    ['a link over a file', { kind: 'link', path: '/etc/open', target: null }, 'not_a_symlink'],
    [
      'the mode of a symlink',
      { kind: 'attributes', path: '/etc/mask', mode: 0 },
      'not_a_plain_file',
    ],
    [
      'a file behind a symlink, where none may be',
      { kind: 'file', path: '/etc/turn/a', content: Buffer.of(), mode: 0, straight: true },
      'not_a_plain_file',
    ],
  ])('are refused when they are %s', async (_, change, reason) => {
    begin();
    symlinkSync('/home', join(root, 'etc/turn'));
    const before = look();
    const step = { id: 'x', description: '', verify: '', changes: [change] };
    const planned = planChangeSteps(context, new TargetRoot(root), [step]);
    await expect(planned).rejects.toMatchObject({ reason });
    expect(look()).toBe(before);
  });
});

describe('a job that is killed on its way', () => {
  // Each of these calls is a moment between two states on disk. Those of one file are in killed-change.test.ts.
  itEach(1, [['rename'], ['symlink'], ['mkdir'], ['chmod'], ['chown']])(
    'is taken back whole, killed before any %s',
    async (call) => {
      let kills = 0;
      for (; kills < MOST_CALLS; kills++) {
        const before = begin();
        const wasKilled = run('apply', call, kills + 1);
        await undo();
        expect(look()).toBe(before);
        if (!wasKilled) break;
      }
      expect(kills).toBeGreaterThan(0);
      expect(kills).toBeLessThan(MOST_CALLS);
    },
    600_000,
  );

  itEach(1, [['rename'], ['chown']])(
    'is taken back by a second undo when the first is killed before any %s',
    async (call) => {
      let kills = 0;
      for (; kills < MOST_CALLS; kills++) {
        const before = begin();
        run('apply');
        const wasKilled = run('undo', call, kills + 1);
        await undo();
        expect(look()).toBe(before);
        if (!wasKilled) break;
      }
      expect(kills).toBeGreaterThan(0);
      expect(kills).toBeLessThan(MOST_CALLS);
    },
    600_000,
  );
});
