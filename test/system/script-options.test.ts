import path from 'node:path';
import { expect, it } from 'vitest';
import { run } from '../harness/process.ts';

const scripts = path.join(import.meta.dirname, '../../scripts');

it.each([
  ['setup', ['--bogus'], 'takes no options, not --bogus'],
  ['demo', ['--bogus'], 'takes only --keep, not --bogus'],
  ['test', ['--bogus'], 'not --bogus'],
  ['test', ['--only'], "takes unit, postgresql, fuzz or system, not ''"],
])('scripts/%s %j says what it takes, and does nothing', async (script, words, text) => {
  const done = await run([path.join(scripts, script), ...words]);
  expect([done.status, done.stdout]).toEqual([2, '']);
  expect(done.stderr).toContain(text);
  expect(done.stderr.trim().split('\n')).toHaveLength(1);
});

it.each(['setup', 'demo', 'test'])(
  'scripts/%s --help says what it is for, and does nothing',
  async (script) => {
    const done = await run([path.join(scripts, script), '--help']);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    expect(done.stdout).toMatch(/^[A-Z][^]*\.\n$/);
  },
);
