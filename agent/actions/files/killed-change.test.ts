import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect } from 'vitest';
import { itEach } from '../../../test/fixtures/matrix.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { findSavedFiles, restoreFiles } from './restore-files.ts';
import { fileContext } from './testing/file-context.ts';

const program = join(import.meta.dirname, 'testing/change-one-file.ts');
const OLD = 'the old content\n';
const NEW = 'the new content\n';
const MOST_CALLS = 40;
const FORMATS = {
  f: String.raw`%p %m %U %G %s %T@\n`,
  d: String.raw`%p %m %U %G\n`,
  l: String.raw`%p %l\n`,
};

let folder: string;
let root: string;
let backups: string;
let context: ReturnType<typeof fileContext>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivc-'));
  root = join(folder, 'root');
  backups = join(folder, 'backups');
  mkdirSync(join(folder, 'pipes'));
  context = fileContext(join(folder, 'pipes'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

type What = 'change' | 'remove' | 'undo';

/** Runs the program, killed (kill -9) before its nth call; whether it was. */
function runKilled(what: What, path: string, call: string, nth: number): boolean {
  const inject = `inject=${call}:signal=SIGKILL:when=${nth}`;
  const done = spawnSync(
    'strace',
    [
      ...['-f', '-qqq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject],
      ...[process.execPath, program, root, backups, folder, what, path],
    ],
    // One thread for files, so that its calls are counted together.
    { env: { ...process.env, UV_THREADPOOL_SIZE: '1' }, encoding: 'utf8' },
  );
  if (done.error !== undefined) throw done.error;
  // Where it was cp that was killed, the program has said so.
  const isKilled = done.signal === 'SIGKILL' || done.stderr.includes('backup_incomplete');
  if (!isKilled && done.status !== 0) throw new Error(`${what} failed: ${done.stderr}`);
  return isKilled;
}

function begin(hasFile: boolean, path: string): string {
  rmSync(root, { recursive: true, force: true });
  rmSync(backups, { recursive: true, force: true });
  mkdirSync(backups);
  const file = join(root, path);
  mkdirSync(hasFile ? dirname(file) : join(root, 'etc'), { recursive: true });
  if (hasFile) {
    writeFileSync(file, OLD);
    execFileSync('chmod', ['0640', file]);
    execFileSync('chown', ['33:34', file]);
    execFileSync('setfattr', ['-n', 'user.note', '-v', 'kept', file]);
    execFileSync('touch', ['-d', '2001-02-03T04:05:06.789', file]);
  }
  return look();
}

/** All there is below the root, and what it is. */
function look(): string {
  // Of a folder the time says only that something was in it.
  const list = ['f', 'd', 'l'].map((type) =>
    execFileSync('find', ['.', '-type', type, '-printf', FORMATS[type as 'f']], {
      cwd: root,
      encoding: 'utf8',
    }),
  );
  const files = execFileSync('find', ['.', '-type', 'f'], { cwd: root, encoding: 'utf8' });
  const contents = files
    .split('\n')
    .filter(Boolean)
    .map((path) => {
      const note = spawnSync('getfattr', ['-d', '-m', '-', path], { cwd: root, encoding: 'utf8' });
      return `${path}: ${readFileSync(join(root, path), 'utf8')}${note.stdout}`;
    });
  return [...list.join('').split('\n').toSorted(), ...contents.toSorted()].join('\n');
}

async function undo(): Promise<void> {
  const target = new TargetRoot(root);
  const found = await findSavedFiles(target, backups);
  expect(found.map(({ standing }) => standing)).not.toContain('changed');
  await restoreFiles(context, target, backups, found);
}

type Kills = readonly (readonly [call: string, atLeast: number])[];
interface Case {
  name: string;
  what: 'change' | 'remove';
  hasFile: boolean;
  path: string;
  /** Calls that the work makes, and how often at least: each is a moment between two steps. */
  work: Kills;
  undoing: Kills;
}

const cases: Case[] = [
  {
    name: 'replaced',
    what: 'change',
    hasFile: true,
    path: '/etc/unit.d/a.conf',
    work: [
      ['fsync', 6],
      ['rename', 2],
      ['fchown', 1],
      ['fchmod', 2],
    ],
    undoing: [
      ['fsync', 2],
      ['rename', 1],
    ],
  },
  {
    name: 'made, with folders',
    what: 'change',
    hasFile: false,
    path: '/etc/unit.d/new/a.conf',
    work: [
      ['fsync', 6],
      ['rename', 2],
      ['mkdir', 2],
      ['fchmod', 2],
    ],
    undoing: [
      ['fsync', 3],
      ['unlink', 1],
      ['rmdir', 2],
    ],
  },
  {
    name: 'removed',
    what: 'remove',
    hasFile: true,
    path: '/etc/unit.d/a.conf',
    work: [
      ['fsync', 5],
      ['rename', 1],
    ],
    undoing: [
      ['fsync', 2],
      ['rename', 1],
    ],
  },
];

describe.each(cases)('a file that is $name', ({ what, hasFile, path, work, undoing }) => {
  itEach(2, work)(
    'is as before or as wanted when the job is killed before any %s, and undo works',
    async (call, atLeast) => {
      const kills = await killAtEach(what, call, hasFile, path, async () => undefined);
      expect(kills).toBeGreaterThanOrEqual(atLeast);
    },
    300_000,
  );

  itEach(1, undoing)(
    'is put back by a second undo when the first is killed before any %s',
    async (call, atLeast) => {
      const kills = await killAtEach('undo', call, hasFile, path, async () => {
        expect(runKilled(what, path, 'rmdir', MOST_CALLS)).toBe(false);
      });
      expect(kills).toBeGreaterThanOrEqual(atLeast);
    },
    300_000,
  );
});

/** Kills before the first such call, then before the second, until there are no more; returns how many. */
async function killAtEach(
  what: What,
  call: string,
  hasFile: boolean,
  path: string,
  prepare: () => Promise<void>,
): Promise<number> {
  for (let nth = 1; nth <= MOST_CALLS; nth++) {
    const before = begin(hasFile, path);
    await prepare();
    const wasKilled = runKilled(what, path, call, nth);
    const file = join(root, path);
    const content = existsSync(file) ? readFileSync(file, 'utf8') : null;
    expect([OLD, NEW, null]).toContain(content);
    if (hasFile && what === 'change') expect(content).not.toBeNull();
    await undo();
    expect(look()).toBe(before);
    expect(readdirSync(root)).toEqual(['etc']);
    if (!wasKilled) return nth - 1;
  }
  throw new Error('it was killed every time');
}
