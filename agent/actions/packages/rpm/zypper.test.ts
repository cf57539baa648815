import { describe, expect, it } from 'vitest';
import { failedScripts } from './rpm-messages.ts';
import { zypperManager } from './zypper.ts';

/** What zypper 1.14.42 printed (`zypper --non-interactive --xmlout --no-refresh install --dry-run ...`). */
const UPGRADE = `<?xml version='1.0'?>
<stream>
<message type="info">Resolving package dependencies...</message>
<install-summary download-size="12841" space-usage-diff="22" packages-to-change="2">
<to-upgrade>
<solvable type="package" name="alpha" edition="2.0-1" arch="noarch" edition-old="1.0-1" arch-old="noarch" summary="made by a test">
<description>made by a test</description></solvable>
</to-upgrade>
<to-install>
<solvable type="package" name="alpha-extra" edition="1.0-1" arch="noarch" summary="made by a test">
<description>made by a test</description></solvable>
</to-install>
</install-summary>
<prompt id="0">
<text>Continue?</text>
</prompt>
<fileconflict-summary><message type="warning">2 packages had to be excluded from file conflicts check because they are not yet downloaded.</message>
</fileconflict-summary></stream>
`;
const REMOVING = `<install-summary download-size="6464" space-usage-diff="0" packages-to-change="2">
<to-install>
<solvable type="package" name="replacer" edition="1.0-1" arch="noarch" summary="made by a test">
<description>made by a test</description></solvable>
</to-install>
<to-remove>
<solvable type="package" name="rival" edition="1.0-1" arch="noarch" summary="made by a test">
<description>made by a test</description></solvable>
</to-remove>
</install-summary>
`;
const NOTHING = `<message type="info">&apos;alpha = 1.0-1&apos; is already installed.</message>
<install-summary download-size="0" space-usage-diff="0" packages-to-change="0">
</install-summary>
<message type="info">Nothing to do.</message>
`;
const UNMET = `<prompt id="1">
<description>Problem: nothing provides nowhere needed by needy-1.0-1.noarch
 Solution 1: do not install needy-1.0-1.noarch
</description>
<text>Choose from above solutions by number or cancel</text>
</prompt>
</stream>
`;
const FAILED = `<progress id="install-resolvable" name="(1/1) Installing: failing-1.0-1.noarch" done="0"/>
<message type="error">Installation of failing-1.0-1.noarch failed:
Error: Subprocess failed. Error: RPM failed: error: %prein(failing-1.0-1.noarch) scriptlet failed, exit status 3
error: failing-1.0-1.noarch: install failed
</message>
`;
/** All came; zypper ends with 107 for the first of these, with 0 for the others. */
const SCRIPTS_FAILED = `<message type="info">Additional rpm output:
Problem: no such service
warning: %post(svc-2-1.noarch) scriptlet failed, exit status 1
error: lua script failed: [string &quot;%post(lua-1-1.noarch)&quot;]:1: no
</message>
<message type="warning">after-1-1.noarch.rpm %posttrans script failed (returned 5)</message>
`;
const FOUND = `<search-result version="0.0">
<solvable-list>
<solvable status="other-version" name="alpha" kind="package" edition="2.0-1" arch="noarch" repository="local"/>
<solvable status="installed" name="alpha" kind="package" edition="1.0-1" arch="noarch" repository="local"/>
<solvable status="installed" name="alpha" kind="package" edition="0.9-1" arch="noarch" repository="(System Packages)"/>
</solvable-list>
</search-result>
`;
const done = (out: string, exitStatus = 0) => ({ out, err: '', exitStatus, truncated: false });
const none = { installed: [], upgraded: [], downgraded: [], reinstalled: [], removed: [] };
const noarch = (name: string, evr: string) => ({ name, architecture: 'noarch', evr });

describe('the summary of zypper', () => {
  const read = (out: string, exitStatus?: number) =>
    zypperManager.readSimulation(done(out, exitStatus));

  it('tells what is new from what takes the place of another version, and what would go', () => {
    expect(read(UPGRADE)).toEqual({
      ...none,
      installed: [noarch('alpha-extra', '1.0-1')],
      upgraded: [noarch('alpha', '2.0-1')],
    });
    expect(read(REMOVING)).toMatchObject({ removed: ['rival'] });
    expect(read(UPGRADE.replaceAll('to-upgrade', 'to-downgrade')).downgraded).toHaveLength(1);
    expect(read(NOTHING)).toEqual(none);
  });

  it.each([
    ['a part of an unknown name', UPGRADE.replaceAll('to-upgrade', 'to-change-vendor')],
    ['what is no package', UPGRADE.replace('type="package"', 'type="patch"')],
  ])('is refused with %s', (_, out) => {
    expect(() => read(out)).toThrow(expect.objectContaining({ reason: 'zypper_unreadable' }));
  });

  it('is not believed when it was cut', () => {
    expect(() => zypperManager.readSimulation({ ...done(UPGRADE), truncated: true })).toThrow(
      expect.objectContaining({ reason: 'plan_too_large' }),
    );
  });

  it.each([
    ['dependencies_unmet', 'nothing provides nowhere', UNMET, 4],
    [
      'package_not_found',
      "No provider of 'nosuch' found",
      '<message type="error">No provider of &apos;nosuch&apos; found.</message>',
      104,
    ],
    ['maintainer_script_failed', '%prein(failing-1.0-1.noarch)', FAILED, 8],
    [
      'packages_locked',
      'locked by the application with pid 31',
      '<message type="error">System management is locked by the application with pid 31 (zypper).</message>',
      7,
    ],
    ['zypper_failed', 'zypper ended with status 8', '', 8],
  ])('may be missing: %s', (reason, said, out, exitStatus) => {
    const refuse = () => read(out, exitStatus);
    expect(refuse).toThrow(expect.objectContaining({ reason }));
    expect(refuse).toThrow(said);
  });
});

it('programs of packages that failed are known by what rpm and zypper say', () => {
  expect(failedScripts(done(SCRIPTS_FAILED))).toEqual([
    '%post(svc-2-1.noarch) scriptlet failed, exit status 1',
    'lua script failed: [string &quot;%post(lua-1-1.noarch)&quot;]:1: no',
    'after-1-1.noarch.rpm %posttrans script failed (returned 5)',
  ]);
  expect(failedScripts(done(UPGRADE))).toEqual([]);
  const error = zypperManager.error(done(SCRIPTS_FAILED, 107));
  expect(error).toMatchObject({ reason: 'maintainer_script_failed' });
  expect(error.message).toContain('%post(svc-2-1.noarch)');
});

it('lines of zypper say how far it is', () => {
  const line =
    '<progress id="install-resolvable" name="(1/2) Installing: alpha-data-1.0-1.noarch" done="1"/>';
  expect(zypperManager.progress(line)).toEqual({
    percent: 50,
    text: 'Installing: alpha-data-1.0-1.noarch',
  });
  expect(zypperManager.progress(line.replace('done="1"', 'value="50"'))).toBeNull();
});

it('only what a repository has counts as available, and nothing may be known', () => {
  expect(zypperManager.readAvailable(done(FOUND))).toEqual([
    noarch('alpha', '2.0-1'),
    noarch('alpha', '1.0-1'),
  ]);
  expect(zypperManager.readAvailable(done('', 104))).toEqual([]);
});

it('a command line of zypper asks nobody, brings in no key and lets no solution be forced', () => {
  const argv = zypperManager.install('/job', ['alpha.noarch=1.0-1']);
  expect(argv).toEqual(expect.arrayContaining(['--non-interactive', '--no-force-resolution']));
  expect(argv.join(' ')).not.toMatch(/gpg|allow-|force-resolution .*--force/);
});

it('warnings are told of, but for those of files that were not fetched yet', () => {
  const out = `${UPGRADE}<message type="warning">Skipping repository &apos;dead&apos; because of the above error.</message>`;
  expect(zypperManager.complaints(done(out))).toEqual([
    "Skipping repository 'dead' because of the above error.",
  ]);
});
