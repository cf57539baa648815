import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { TargetFiles } from '../../target/target-files.ts';
import { rpmManagerOf } from './package-system.ts';

const roots: string[] = [];
afterEach(() => roots.splice(0).forEach((root) => rmSync(root, { recursive: true })));

function system(release: string | null, programs: Readonly<Record<string, string>> = {}) {
  const root = mkdtempSync(join(tmpdir(), 'iv-family-'));
  roots.push(root);
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  mkdirSync(join(root, 'etc'));
  if (release !== null) writeFileSync(join(root, 'etc/os-release'), release);
  for (const [name, leadsTo] of Object.entries(programs)) {
    writeFileSync(join(root, 'usr/bin', leadsTo), '');
    if (name !== leadsTo) symlinkSync(leadsTo, join(root, 'usr/bin', name));
  }
  return rpmManagerOf(new TargetFiles(root));
}

describe("the server's package manager", () => {
  it.each([
    ['dnf', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', { dnf: 'dnf-3' }],
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
