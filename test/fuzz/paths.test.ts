import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeChange, prepareChange } from '../../agent/actions/files/change-files.ts';
import { planFileChange } from '../../agent/actions/files/plan-file-change.ts';
import { fileContext } from '../../agent/actions/files/testing/file-context.ts';
import { ActionError } from '../../agent/runner/action.ts';
import { TargetFileError, TargetFiles } from '../../agent/target/target-files.ts';
import { TargetPathError, TargetRoot } from '../../agent/target/target-root.ts';
import { createChance } from './mutation.ts';
import { SwappedFolder } from './swapped-folder.ts';

const PATHS = 300;
const READ_RACES = 5_000;
const WRITE_RACES = 500;
const SWAPS = 1_000;
const CANARY = 'what lies outside and nobody may read';
const chance = createChance();

let folder: string;
let root: string;
let outside: string;
let context: ReturnType<typeof fileContext>;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'ivpf-')));
  root = path.join(folder, 'root');
  outside = path.join(folder, 'outside');
  for (const name of ['etc/unit.d', 'pipes', 'backups']) {
    mkdirSync(path.join(root, name), { recursive: true });
  }
  mkdirSync(path.join(folder, 'pipes'));
  context = fileContext(path.join(folder, 'pipes'));
  mkdirSync(path.join(folder, 'backups'));
  mkdirSync(outside);
  writeFileSync(path.join(outside, 'a.conf'), CANARY);
  writeFileSync(path.join(root, 'etc/unit.d/a.conf'), 'inside\n');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Everything outside of the root: names, kinds, modes, times of writing, contents. */
function lookOutside(): string {
  return execFileSync(
    'sh',
    ['-ec', `find . -printf '%p %y %m %i %n %T@ %l\\n' | sort; cat a.conf`],
    { cwd: outside, encoding: 'utf8' },
  );
}

/** Every way of naming what lies elsewhere, and every kind of thing a name can be. */
function hostileTree(): string[] {
  const up = '../'.repeat(12);
  const links = {
    out: outside,
    'etc/out': `${up}${outside.slice(1)}`,
    'etc/real': `/proc/self/root${outside}`,
    'etc/cwd': '/proc/self/cwd',
    'etc/loop': 'loop',
    'etc/a': 'b',
    'etc/b': 'a',
    'etc/file': path.join(outside, 'a.conf'),
    'etc/dots': '../../outside/a.conf',
  };
  for (const [name, leads] of Object.entries(links)) symlinkSync(leads, path.join(root, name));
  linkSync(path.join(outside, 'a.conf'), path.join(root, 'etc/hard'));
  execFileSync('mkfifo', [path.join(root, 'etc/fifo')]);
  execFileSync('mknod', [path.join(root, 'etc/zero'), 'c', '1', '5']);
  execFileSync('mknod', [path.join(root, 'etc/disk'), 'b', '7', '250']);
  return [
    ...[...Object.keys(links), 'etc/hard', 'etc/fifo', 'etc/zero', 'etc/disk', 'etc', 'etc/unit.d'],
    ...['..', '.', '', 'a.conf', 'outside', 'proc/self/root', 'proc/1/root', '\0', 'a\0b', '\n'],
    ...['%2e%2e', '..\\', '‮', 'x'.repeat(300), '-rf', '$(id)', '~', '*', 'new', outside.slice(1)],
  ];
}

function hostilePath(parts: readonly string[]): string {
  const names = Array.from({ length: 1 + chance.below(5) }, () => chance.pick(parts));
  return chance
    .pick(['/', '//', '/../', '/./', '/etc/'])
    .concat(names.join(chance.pick(['/', '//', '/../', '/./'])));
}

/** A refusal that says what is wrong; anything else is a fault of the program. */
function isRefusal(error: unknown): boolean {
  if (error instanceof TargetFileError || error instanceof TargetPathError) return true;
  if (error instanceof ActionError) return true;
  const { code } = error as NodeJS.ErrnoException;
  return ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EISDIR', 'EEXIST'].includes(code ?? '');
}

async function change(where: string, nth: number): Promise<void> {
  const target = new TargetRoot(root);
  const content = Buffer.from(`written ${nth}\n`);
  const planned = await planFileChange(target, { path: where, content, mode: 0o644 });
  const place = { folder: path.join(folder, 'backups'), index: nth };
  const { digest } = planned.precondition;
  await makeChange(
    context,
    target,
    await prepareChange(context, target, planned.change, digest, place),
  );
}

function isRacing(swapped: SwappedFolder, races: number, atLeast: number): boolean {
  return swapped.isRunning && (races < atLeast || swapped.swaps < SWAPS);
}

describe(`paths (seed ${chance.seed})`, () => {
  it(`${PATHS} hostile ones read nothing from outside, and end`, async () => {
    const parts = hostileTree();
    const files = new TargetFiles(root);
    let refused = 0;
    for (let nth = 0; nth < PATHS; nth++) {
      const where = hostilePath(parts);
      try {
        const text = await files.read(where, 4_096);
        // A hard link is the file itself, wherever else it has a name: who made it could read it.
        if (text !== null && !where.includes('hard')) expect(text, where).not.toContain(CANARY);
        for (const name of await files.list(where)) expect(name).not.toBe('b.conf');
        const found = await files.locate(where);
        if (found !== null) expect(`${found}/`, where).toMatch(new RegExp(`^${root}/`));
      } catch (error) {
        if (!isRefusal(error)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(PATHS);
  });

  it(`${PATHS} hostile ones write nothing outside, and no device or pipe is opened`, async () => {
    const parts = hostileTree();
    const before = lookOutside();
    let written = 0;
    for (let nth = 0; nth < PATHS; nth++) {
      const where = hostilePath(parts);
      try {
        await change(where, nth);
        written++;
      } catch (error) {
        if (!isRefusal(error)) throw new Error(JSON.stringify(where), { cause: error });
      }
    }
    expect(written).toBeGreaterThan(0);
    expect(lookOutside()).toBe(before);
  });

  it(`${READ_RACES} reads against a folder that turns into a link and back stay inside`, async () => {
    const swapped = new SwappedFolder(path.join(root, 'etc/unit.d'), outside);
    const files = new TargetFiles(root);
    let read = 0;
    try {
      for (let nth = 0; isRacing(swapped, nth, READ_RACES); nth++) {
        const text = await files.read('/etc/unit.d/a.conf').catch((error: unknown) => {
          if (!isRefusal(error)) throw error;
          return null;
        });
        if (text === null) continue;
        expect(text).toBe('inside\n');
        read++;
      }
    } finally {
      await swapped.stop();
    }
    expect(read).toBeGreaterThan(0);
  });

  it(`${WRITE_RACES} changes against it write nothing outside`, async () => {
    const before = lookOutside();
    const swapped = new SwappedFolder(path.join(root, 'etc/unit.d'), outside);
    let written = 0;
    try {
      for (let nth = 0; isRacing(swapped, nth, WRITE_RACES); nth++) {
        try {
          await change('/etc/unit.d/a.conf', nth);
          written++;
        } catch (error) {
          if (!isRefusal(error)) throw error;
        }
      }
    } finally {
      await swapped.stop();
    }
    expect(written).toBeGreaterThan(0);
    expect(lookOutside()).toBe(before);
    expect(statSync(path.join(root, 'etc/unit.d')).isDirectory()).toBe(true);
    expect(readFileSync(path.join(root, 'etc/unit.d/a.conf'), 'utf8')).toMatch(/^written \d+\n$/);
    expect(readdirSync(path.join(root, 'etc/unit.d'))).toEqual(['a.conf']);
  });
});
