import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuardFolder, type WayBack } from './guard-folder.ts';

const LONG = 600;
const MOST_CALLS = 60;

let folder: string;
let etc: string;
let job: string;
let guard: GuardFolder;
const running: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivg-'));
  begin();
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

function begin(): void {
  rmSync(folder, { recursive: true, force: true });
  etc = join(folder, 'etc');
  job = join(folder, 'job');
  mkdirSync(etc, { recursive: true });
  mkdirSync(job);
  guard = new GuardFolder(job);
}

const old = (name: string) => join(etc, `.${name}.old`);
const draft = (name: string) => join(etc, `${name}.new`);
const wayBack = (change: Partial<WayBack> = {}): WayBack => ({
  files: [],
  commands: [],
  bootCommands: [],
  unit: null,
  ...change,
});

/** A file was replaced, another one made in a folder of its own, and programs say that they ran. */
async function changeTwo(withinSeconds: number): Promise<void> {
  const said = join(folder, 'said');
  await guard.prepare(
    wayBack({
      files: [
        { path: join(etc, 'a'), old: old('a'), madeFolders: [], draft: draft('a') },
        {
          path: join(etc, 'd/e/b'),
          old: null,
          madeFolders: [join(etc, 'd'), join(etc, 'd/e')],
          draft: draft('d/e/b'),
        },
      ],
      commands: [
        ['sh', '-c', 'echo "$1" >>"$2"', 'sh', 'two  words; $(false)', said],
        ['false'],
        ['no-such-program'],
      ],
      bootCommands: [['sh', '-c', 'echo boot >>"$1"', 'sh', said]],
    }),
    withinSeconds,
  );
  writeFileSync(join(etc, 'a'), 'before\n');
  chmodSync(join(etc, 'a'), 0o640);
  execFileSync('cp', ['-p', join(etc, 'a'), old('a')]);
  await guard.arm();
  writeFileSync(join(etc, 'a'), 'after\n');
  mkdirSync(join(etc, 'd/e'), { recursive: true });
  writeFileSync(join(etc, 'd/e/b'), 'new\n');
}

function look(): string {
  return execFileSync('find', ['.', '-printf', String.raw`%p %y %m\n`], {
    cwd: etc,
    encoding: 'utf8',
  })
    .split('\n')
    .toSorted()
    .join('\n');
}

const BEFORE = ['', '. d 755', './a f 640'].join('\n');
const AFTER = ['', '. d 755', './a f 640', './d d 755', './d/e d 755', './d/e/b f 644'].join('\n');

function guardian(): ChildProcess {
  const child = spawn('/bin/sh', [join(guard.path, 'guardian')], { stdio: 'ignore' });
  running.push(child);
  return child;
}

/** Runs one to its end. */
async function runGuardian(): Promise<void> {
  const [status] = (await once(guardian(), 'exit')) as [number];
  expect(status).toBe(0);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

function expectRolledBack(): void {
  expect(look()).toBe(BEFORE);
  expect(readFileSync(join(etc, 'a'), 'utf8')).toBe('before\n');
  expect(guard.end).toMatchObject({ decision: 'rolled_back', areFilesBack: true });
}

describe('a guardian', () => {
  it('puts files back and runs the commands when nobody has decided in time', async () => {
    await changeTwo(0);
    await runGuardian();
    expectRolledBack();
    expect(guard.decision).toBe('rolled_back');
    expect(guard.end?.exitStatuses).toEqual([0, 1, 127]);
    expect(readFileSync(join(folder, 'said'), 'utf8')).toBe('two  words; $(false)\n');
  });

  it('waits until then, and at once obeys who rolls back', async () => {
    await changeTwo(LONG);
    const child = guardian();
    await until(() => guard.isWatched);
    expect(look()).not.toBe(BEFORE);
    expect(guard.end).toBeNull();
    expect(await guard.decide('rolled_back')).toBe('rolled_back');
    await once(child, 'exit');
    expectRolledBack();
  });

  it('leaves everything when it is kept, and clears away what it kept ready', async () => {
    await changeTwo(LONG);
    const child = guardian();
    await guard.decide('kept');
    await once(child, 'exit');
    expect(look()).toBe(AFTER);
    expect(readFileSync(join(etc, 'a'), 'utf8')).toBe('after\n');
    expect(guard.end).toEqual({ decision: 'kept', areFilesBack: false, exitStatuses: [] });
    expect(existsSync(join(folder, 'said'))).toBe(false);
  });

  it('is bound by the first decision', async () => {
    await changeTwo(LONG);
    expect(await guard.decide('kept')).toBe('kept');
    expect(await guard.decide('rolled_back')).toBe('kept');
    await runGuardian();
    expect(look()).toBe(AFTER);
  });

  it('puts back at once after a reboot, with the commands for that', async () => {
    await changeTwo(LONG);
    writeFileSync(join(guard.path, 'boot'), '00000000-0000-0000-0000-000000000000\n');
    expect(guard.secondsLeft).toBe(0);
    await runGuardian();
    expectRolledBack();
    expect(readFileSync(join(folder, 'said'), 'utf8')).toBe('boot\n');
  });

  it('is alone: a second one leaves', async () => {
    await changeTwo(LONG);
    guardian();
    await until(() => guard.isWatched);
    await runGuardian();
    expect(guard.decision).toBeNull();
  });

  it('stays beside another one when it is to wait, and takes over when that one dies', async () => {
    await changeTwo(LONG);
    const first = guardian();
    await until(() => guard.isWatched);
    const second = spawn('/bin/sh', [join(guard.path, 'guardian'), 'wait'], { stdio: 'ignore' });
    running.push(second);
    await guard.decide('rolled_back');
    first.kill('SIGKILL');
    await once(second, 'exit');
    expectRolledBack();
  });

  it('keeps what somebody else has written in the place of a file', async () => {
    await changeTwo(LONG);
    writeFileSync(join(etc, 'a'), 'of somebody else\n');
    await guard.decide('rolled_back');
    await runGuardian();
    expectRolledBack();
    const kept = join(guard.path, 'files/000/replaced');
    expect(readFileSync(kept, 'utf8')).toBe('of somebody else\n');
  });

  it('takes away what a job that was killed had not finished', async () => {
    await changeTwo(0);
    writeFileSync(draft('a'), 'aft');
    await runGuardian();
    expectRolledBack();
  });

  it('puts a symlink back as one', async () => {
    const path = join(etc, 'link');
    await guard.prepare(
      wayBack({ files: [{ path, old: old('link'), madeFolders: [], draft: draft('a') }] }),
      0,
    );
    symlinkSync('../there', old('link'));
    await guard.arm();
    writeFileSync(path, 'a file\n');
    await runGuardian();
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(readdirSync(etc)).toEqual(['link']);
  });

  it('says that a file could not be put back, and still runs the commands', async () => {
    await changeTwo(0);
    rmSync(join(etc, 'a'));
    mkdirSync(join(etc, 'a'));
    await runGuardian();
    expect(guard.end).toMatchObject({ decision: 'rolled_back', areFilesBack: false });
    expect(existsSync(join(folder, 'said'))).toBe(true);
  });

  it('has put everything back after the second one when the first is killed anywhere', async () => {
    let kills = 0;
    for (let nth = 1; nth <= MOST_CALLS; nth++) {
      begin();
      await changeTwo(0);
      const script = join(guard.path, 'guardian');
      // Before the shell itself forks or opens its nth time.
      const inject = `inject=clone,clone3,fork,vfork,openat:signal=SIGKILL:when=${nth}`;
      const done = spawnSync('strace', [
        '-qqq',
        '-o',
        '/dev/null',
        '-e',
        inject,
        '/bin/sh',
        script,
      ]);
      const wasKilled = done.signal === 'SIGKILL';
      // A child of the killed one may go on with its one step.
      await sleep(20);
      await runGuardian();
      expectRolledBack();
      if (!wasKilled) break;
      kills++;
    }
    expect(kills).toBeGreaterThan(20);
    expect(kills).toBeLessThan(MOST_CALLS);
  }, 120_000);
});

describe('what a runner that died had prepared', () => {
  it('is put in force when it was whole, so that old files are cleared away', async () => {
    await guard.prepare(
      wayBack({
        files: [{ path: join(etc, 'a'), old: old('a'), madeFolders: [], draft: draft('a') }],
      }),
      LONG,
    );
    writeFileSync(join(etc, 'a'), 'before\n');
    writeFileSync(old('a'), 'before\n');
    await guard.armPrepared();
    await guard.decide('rolled_back');
    await runGuardian();
    expect(readdirSync(etc)).toEqual(['a']);
  });

  it('is dropped when it was not', async () => {
    await guard.prepare(wayBack(), LONG);
    rmSync(join(job, 'guard.new/prepared'));
    await guard.armPrepared();
    expect(readdirSync(job)).toEqual([]);
  });

  it('may not hold a word of more than one line', async () => {
    await expect(guard.prepare(wayBack({ commands: [['a\nb']] }), LONG)).rejects.toThrow('a line');
  });
});
