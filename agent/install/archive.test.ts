import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const out = path.join(root, 'dist/agent');
const archiveOf = (packing: string) =>
  path.join(out, `intervene-agent-linux-${process.arch}.tar.${packing}`);
const archive = archiveOf('xz');

function run(program: string, ...args: string[]) {
  return spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1024 * 1024 });
}
const build = () => run(process.execPath, path.join(root, 'scripts/build.ts'));

/** The newest version of a library's symbols that a program asks for; none is 0. */
function newest(versionInfo: string, library: string): number[] {
  const found = [...versionInfo.matchAll(new RegExp(`\\b${library}_([0-9.]+)`, 'g'))]
    .map(([, version]) => version!.split('.').map(Number))
    .toSorted((a, b) => (isAtMost(a, b) ? -1 : 1));
  return found.at(-1) ?? [0];
}

function isAtMost(one: readonly number[], other: readonly number[]): boolean {
  const at = one.findIndex((number, index) => number !== (other[index] ?? 0));
  return at === -1 || one[at]! < (other[at] ?? 0);
}

describe('the archive of the agent', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'iv-ar-'));
    expect(build().stderr).toBe('');
  }, 400_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('has its digest in the installer beside it', () => {
    const stamps = ['gz', 'xz'].map((packing) => {
      const digest = createHash('sha256')
        .update(readFileSync(archiveOf(packing)))
        .digest('hex');
      return `${process.arch}.${packing}=sha256:${digest}`;
    });
    const installer = readFileSync(path.join(out, 'install.sh'), 'utf8');
    expect(installer).toContain(`\nbundles='${stamps.join(' ')}'\n`);
    const source = readFileSync(path.join(import.meta.dirname, 'install.sh'), 'utf8');
    expect(installer.replace(/^bundles=.*$/m, "bundles=''")).toBe(source);
  });

  it('needs no newer glibc than 2.28, nor a newer libstdc++ than came with it, in any program', () => {
    expect(run('tar', '-xJof', archive, '-C', folder)).toMatchObject({ status: 0, stderr: '' });
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .filter((file) => readFileSync(file).subarray(0, 4).equals(Buffer.from('\x7fELF')));
    expect(files.map((file) => path.basename(file))).toContain('node');
    for (const file of files) {
      const { stdout, status } = run('readelf', '--version-info', '--wide', file);
      expect(status).toBe(0);
      expect(newest(stdout, 'GLIBC')).toSatisfy((found: number[]) => isAtMost(found, [2, 28]));
      expect(newest(stdout, 'GLIBCXX')).toSatisfy((found: number[]) => isAtMost(found, [3, 4, 25]));
    }
  });

  it('is made again only when something changed', () => {
    const before = statSync(archive).mtimeMs;
    const { stdout, status } = build();
    expect([stdout, status]).toEqual(['', 0]);
    expect(statSync(archive).mtimeMs).toBe(before);
  });

  it('is 30 MB to download, where xz can unpack it', () => {
    expect(statSync(archive).size).toBeLessThan(30e6);
    expect(run('sh', '-c', `gzip -dc ${archiveOf('gz')} | tar -t | sort | sha256sum`).stdout).toBe(
      run('sh', '-c', `xz -dc ${archive} | tar -t | sort | sha256sum`).stdout,
    );
  });

  it('runs where it is unpacked, with a Node of its own', () => {
    expect(run('tar', '-xJof', archive, '-C', folder)).toMatchObject({ status: 0, stderr: '' });
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
