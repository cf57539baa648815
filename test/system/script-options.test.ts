import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { run } from '../harness/process.ts';

const scripts = path.join(import.meta.dirname, '../../scripts');

it.each([
  ['setup', ['--bogus'], 'takes no options, not --bogus'],
  ['demo', ['--bogus'], 'takes only --keep, not --bogus'],
  ['test', ['--bogus'], 'not --bogus'],
  ['test', ['--only'], "takes unit, postgresql, fuzz, system or lab, not ''"],
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

it('scripts/setup, sourced, leaves the shell as it was but for its path', async () => {
  // A tree in which nothing is missing and little is to be built.
  const tree = mkdtempSync(path.join(tmpdir(), 'iv-setup-'));
  try {
    for (const folder of ['scripts', 'node_modules']) mkdirSync(path.join(tree, folder));
    cpSync(path.join(scripts, 'setup'), path.join(tree, 'scripts/setup'));
    writeFileSync(path.join(tree, 'scripts/build.ts'), "console.log('built');");
    for (const file of ['package-lock.json', 'node_modules/.intervene-lock']) {
      writeFileSync(path.join(tree, file), '{}');
    }
    const look = 'set +o; trap -p; declare -F; compgen -v | grep -vE "^(_|BASH_.*|PIPESTATUS)$"';
    const script = `before=; before=$(${look}); . "$1" || exit; [ "$before" = "$(${look})" ] && echo "$PATH"`;
    const done = await run(['bash', '-c', script, 'bash', path.join(tree, 'scripts/setup')]);
    expect(done.status, done.stderr).toBe(0);
    const [built, searched] = done.stdout.trim().split('\n').slice(-2);
    expect(built).toBe('built');
    expect(searched?.split(':')[0]).toBe(path.join(tree, 'node_modules/.bin'));
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
});
