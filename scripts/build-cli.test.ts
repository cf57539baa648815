import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildCli } from './build-cli.ts';

const root = path.resolve(import.meta.dirname, '..');
const manifest = readFileSync(path.join(root, 'package.json'), 'utf8');

function bundle(...words: string[]) {
  const program = path.join(root, 'dist/cli/intervene.mjs');
  return spawnSync(process.execPath, [program, ...words], { encoding: 'utf8' });
}

describe('the bundled command line', () => {
  beforeAll(async () => {
    await buildCli();
  });

  it('knows its version, and every command', () => {
    const { version } = JSON.parse(manifest) as { version: string };
    expect(bundle('--version').stdout.trim()).toBe(version);
    expect(bundle('run', '--help').stdout).toContain('intervene run');
  });

  it('loads what a command needs', () => {
    expect(bundle('actions', 'command.run').stdout).toContain('command.run');
  });

  it('hands commands of the control plane over to the sources', () => {
    const { status, stderr } = bundle('up', '--data', '/dev/null/here');
    expect(status).toBe(1);
    expect(stderr).toContain('The control plane cannot run');
  });
});
