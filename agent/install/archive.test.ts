import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const out = path.join(root, 'dist/agent');
const archive = path.join(out, `intervene-agent-linux-${process.arch}.tar.gz`);

function run(program: string, ...args: string[]) {
  return spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1024 * 1024 });
}
const build = () => run(process.execPath, path.join(root, 'scripts/build.ts'));

describe('the archive of the agent', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'iv-ar-'));
    expect(build().stderr).toBe('');
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('has its digest in the installer beside it', () => {
    const digest = createHash('sha256').update(readFileSync(archive)).digest('hex');
    const installer = readFileSync(path.join(out, 'install.sh'), 'utf8');
    expect(installer).toContain(`\nbundles='${process.arch}=sha256:${digest}'\n`);
    const source = readFileSync(path.join(import.meta.dirname, 'install.sh'), 'utf8');
    expect(installer.replace(/^bundles=.*$/m, "bundles=''")).toBe(source);
  });

  it('is made again only when something changed', () => {
    const before = statSync(archive).mtimeMs;
    const { stdout, status } = build();
    expect([stdout, status]).toEqual(['', 0]);
    expect(statSync(archive).mtimeMs).toBe(before);
  });

  it('runs where it is unpacked, with a Node of its own', () => {
    expect(run('tar', '-xzof', archive, '-C', folder)).toMatchObject({ status: 0, stderr: '' });
    const agent = path.join(folder, 'bin/intervene-agent');
    expect(statSync(agent).mode & 0o777).toBe(0o755);
    const empty = { PATH: '/usr/bin:/bin' };
    const version = spawnSync(agent, ['--version'], { encoding: 'utf8', env: empty });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const state = path.join(folder, 'state');
    const status = spawnSync(agent, ['status', '--state', state], { encoding: 'utf8', env: empty });
    expect([status.status, status.stdout]).toEqual([5, expect.stringContaining('not enrolled')]);
    // What speaks to the control plane is loaded too, with the definition of the wire.
    const digest = `sha256:${'0'.repeat(64)}`;
    const words =
      `enroll --state ${state} --mode resident --yes --token ${'t'.repeat(43)} ` +
      `--server-address 127.0.0.1:1 --ca ${digest} --root ${digest} --account-keys ${digest}`;
    const enroll = spawnSync(agent, words.split(' '), { encoding: 'utf8', env: empty });
    expect([enroll.status, enroll.stderr]).toEqual([5, expect.stringContaining('ECONNREFUSED')]);
  });
});
