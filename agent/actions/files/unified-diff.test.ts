import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { unifiedDiff } from './unified-diff.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivd-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => `line ${from + at}\n`).join('');

it.each([
  ['a changed line', lines(0, 20), lines(0, 9) + 'other\n' + lines(10, 20)],
  ['a line more', lines(0, 5), lines(0, 5) + 'more\n'],
  ['a line less', lines(0, 5), lines(1, 5)],
  ['two places far apart', lines(0, 40), 'first\n' + lines(0, 40) + 'last\n'],
  ['two places near each other', lines(0, 12), 'x\n' + lines(1, 6) + 'y\n' + lines(7, 12)],
  ['an end of line that goes', 'a\nb\n', 'a\nb'],
  ['an end of line that comes', 'a\nb', 'a\nb\n'],
  ['all of it', 'a\nb\nc\n', 'x\ny\n'],
  ['an empty file that is filled', '', 'a\n'],
  ['a file that is emptied', 'a\n', ''],
])('is what diff -u says: %s', (_, before, after) => {
  writeFileSync(join(folder, 'old'), before);
  writeFileSync(join(folder, 'new'), after);
  const theirs = spawnSync('diff', ['-u', 'old', 'new'], { cwd: folder, encoding: 'utf8' }).stdout;
  const body = (text: string) => text.split('\n').slice(2).join('\n');
  expect(body(unifiedDiff('/etc/x', before, after))).toBe(body(theirs));
});

it('names the file, and /dev/null where there is none', () => {
  expect(unifiedDiff('/etc/x', null, 'a\n')).toBe(
    '--- /dev/null\n+++ b/etc/x\n@@ -0,0 +1 @@\n+a\n',
  );
  expect(unifiedDiff('/etc/x', 'a\n', null)).toBe(
    '--- a/etc/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n',
  );
  expect(unifiedDiff('/etc/x', 'a\n', 'a\n')).toBe('');
});

it('is taken by patch, whatever the texts, also very long ones', () => {
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 30; round++) {
    const size = round === 0 ? 3000 : random(60);
    const before = Array.from({ length: size }, () => `${random(6)}\n`);
    const after = before.flatMap((line) => [[line], [], [line, 'new\n'], [line]][random(4)]!);
    if (round === 0) after.reverse();
    const [old, now] = [before.join(''), after.join('')];
    const diff = unifiedDiff('/f', old, now);
    if (diff === '') continue;
    writeFileSync(join(folder, 'f'), old);
    const done = spawnSync('patch', ['-s', '-o', '-', 'f'], {
      cwd: folder,
      input: diff,
      encoding: 'utf8',
      maxBuffer: 1e8,
    });
    expect(done.stdout).toBe(now);
  }
});
