import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { TargetFiles } from '../../target/target-files.ts';
import { managerOf, rpmManagerOf } from './package-system.ts';

const roots: string[] = [];
afterEach(() => roots.splice(0).forEach((root) => rmSync(root, { recursive: true })));

const ROCKY = 'ID="rocky"\nID_LIKE="rhel centos fedora"\n';

function filesOf(release: string | null, programs: Readonly<Record<string, string>> = {}) {
  const root = mkdtempSync(join(tmpdir(), 'iv-family-'));
  roots.push(root);
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  mkdirSync(join(root, 'etc'));
  if (release !== null) writeFileSync(join(root, 'etc/os-release'), release);
  for (const [name, leadsTo] of Object.entries(programs)) {
    writeFileSync(join(root, 'usr/bin', leadsTo), '');
    if (name !== leadsTo) symlinkSync(leadsTo, join(root, 'usr/bin', name));
  }
  return { root, files: new TargetFiles(root) };
}

const system = (...parts: Parameters<typeof filesOf>) => rpmManagerOf(filesOf(...parts).files);

describe("the server's package manager", () => {
  it.each([
    ['dnf', ROCKY, { dnf: 'dnf-3' }],
    ['dnf', 'ID=fedora\n', { dnf: 'dnf-3' }],
    ['zypper', 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', { zypper: 'zypper' }],
    ['zypper', 'ID="sles"\nID_LIKE="suse"\n', { zypper: 'zypper' }],
  ])('is %s by the family that the system names', async (program, release, programs) => {
    expect((await system(release, programs))?.program).toBe(program);
  });

  it.each([
    ['another family, though programs of rpm are there', 'ID=ubuntu\nID_LIKE=debian\n'],
    ['no family at all', null],
  ])('is apt with %s', async (_, release) => {
    expect(await system(release, { dnf: 'dnf-3', zypper: 'zypper' })).toBeNull();
  });

  it.each([
    ['dnf5', { dnf: 'dnf5' }],
    ['dnf is not there', {}],
  ])('is refused where it is not one that is known: %s', async (said, programs) => {
    const found = system('ID=fedora\n', programs);
    await expect(found).rejects.toMatchObject({ reason: 'packages_unsupported' });
    await expect(found).rejects.toThrow(said);
  });
});

describe('the package manager of a system on disks', () => {
  it('is dpkg', async () => {
    const { root, files } = filesOf('ID=debian\n');
    mkdirSync(join(root, 'var/lib/dpkg'), { recursive: true });
    expect(await managerOf({ kind: 'offline', files })).toBeNull();
  });

  it.each([
    ['rpm', 'rpm', ROCKY],
    ['another program', '/var/lib/dpkg', 'ID=alpine\n'],
  ])('is refused where packages are kept by %s, with what to do', async (_, said, release) => {
    const { files } = filesOf(release, { dnf: 'dnf-3' });
    const found = managerOf({ kind: 'offline', files });
    await expect(found).rejects.toMatchObject({ reason: 'packages_unsupported' });
    await expect(found).rejects.toThrow(said);
    await expect(found).rejects.toThrow('once it runs');
  });
});
