import { describe, expect, it } from 'vitest';
import { dnfManager } from './dnf.ts';

/** What dnf 4.14.0 printed (`dnf --cacheonly --assumeno install ...`), each with its exit status. */
const WRAPPED = `Dependencies resolved.
================================================================================
 Package                                              Arch   Version
                                                                    Repo   Size
================================================================================
Installing:
 a-package-with-a-very-long-name-that-wraps-in-tables noarch 1.0-1  local 6.6 k
 alpha                                                noarch 1.0-1  local 6.2 k
Installing dependencies:
 alpha-data                                           noarch 1.0-1  local 6.3 k

Transaction Summary
================================================================================
Install  3 Packages

Total size: 19 k
Installed size: 66  
Operation aborted.
`;
const UPGRADE = `Last metadata expiration check: 0:00:01 ago on Mon Nov 30 12:58:20 2026.
Package alpha-1.0-1.noarch is already installed.
Dependencies resolved.
================================================================================
 Package               Architecture     Version           Repository       Size
================================================================================
Upgrading:
 alpha                 noarch           2.0-1             local           6.3 k
Installing dependencies:
 alpha-extra           noarch           1.0-1             local           6.3 k

Transaction Summary
================================================================================
Install  1 Package
Upgrade  1 Package

Total size: 13 k
Operation aborted.
`;
const REPLACING = `Dependencies resolved.
================================================================================
 Package             Architecture      Version           Repository        Size
================================================================================
Installing:
 enemy               noarch            1.0-1             local             6.3 k
 replacer            noarch            1.0-1             local             6.3 k
     replacing  rival.noarch 1.0-1

Transaction Summary
================================================================================
Install  2 Packages

Total size: 13 k
Operation aborted.
`;
const REINSTALL = `Dependencies resolved.
================================================================================
 Package           Architecture       Version           Repository         Size
================================================================================
Reinstalling:
 alpha             noarch             2.0-1             local             6.3 k

Transaction Summary
================================================================================

Total size: 6.3 k
Installed size: 22  
Operation aborted.
`;
const NOTHING = `Package alpha-data-1.0-1.noarch is already installed.
Dependencies resolved.
Nothing to do.
Complete!
`;
const done = (out: string, exitStatus = 1, err = '') => ({
  out,
  err,
  exitStatus,
  truncated: false,
});
const none = { installed: [], upgraded: [], downgraded: [], reinstalled: [], removed: [] };
const noarch = (name: string, evr: string) => ({ name, architecture: 'noarch', evr });

describe('the table of a transaction of dnf', () => {
  const read = (out: string, exitStatus?: number, err?: string) =>
    dnfManager.readSimulation(done(out, exitStatus, err));

  it('is read, also where its head goes on in a second line', () => {
    expect(read(WRAPPED)).toEqual({
      ...none,
      installed: [
        noarch('a-package-with-a-very-long-name-that-wraps-in-tables', '1.0-1'),
        noarch('alpha', '1.0-1'),
        noarch('alpha-data', '1.0-1'),
      ],
    });
  });

  it('is read where a row goes on in a second line, and with epochs', () => {
    const long = UPGRADE.replace(
      ' alpha                 noarch           2.0-1             local           6.3 k',
      ' alpha                 noarch           2:2.0-1\n                                                         local           543  ',
    );
    expect(read(long).upgraded).toEqual([noarch('alpha', '2:2.0-1')]);
  });

  it('tells what is new from what takes the place of another version', () => {
    expect(read(UPGRADE)).toEqual({
      ...none,
      installed: [noarch('alpha-extra', '1.0-1')],
      upgraded: [noarch('alpha', '2.0-1')],
    });
    expect(read(REINSTALL)).toEqual({ ...none, reinstalled: [noarch('alpha', '2.0-1')] });
  });

  it('counts what is replaced by another package as removed', () => {
    expect(read(REPLACING).removed).toEqual(['rival']);
  });

  it('counts every kind of removal as one, and older versions as such', () => {
    for (const title of [
      'Removing',
      'Removing dependent packages',
      'Removing unused dependencies',
    ]) {
      expect(read(REINSTALL.replace('Reinstalling', title)).removed).toEqual(['alpha']);
    }
    expect(read(REINSTALL.replace('Reinstalling', 'Downgrading')).downgraded).toHaveLength(1);
  });

  it('may say that there is nothing to do', () => {
    expect(read(NOTHING, 0)).toEqual(none);
  });

  it.each([
    ['a part of an unknown name', REINSTALL.replace('Reinstalling', 'Skipping packages')],
    ['a row that does not end', REINSTALL.replace('6.3 k', '')],
    ['rows before any title', REINSTALL.replace('Reinstalling:\n', '')],
  ])('is not believed with %s', (_, out) => {
    expect(() => read(out)).toThrow(expect.objectContaining({ reason: 'dnf_unreadable' }));
  });

  it('is not believed when it was cut', () => {
    expect(() => dnfManager.readSimulation({ ...done(UPGRADE), truncated: true })).toThrow(
      expect.objectContaining({ reason: 'plan_too_large' }),
    );
  });
});

/** What dnf 4.14.0 and rpm 4.18 said on standard error. */
describe('what dnf says when it cannot go on', () => {
  it.each([
    [
      'dependencies_unmet',
      'nothing provides nowhere needed by needy',
      "Error: \n Problem: conflicting requests\n  - nothing provides nowhere needed by needy-1.0-1.noarch\n(try to add '--skip-broken' to skip uninstallable packages)\n",
    ],
    [
      'package_not_found',
      'No match for argument: nosuch',
      'No match for argument: nosuch\nError: Unable to find a match: nosuch\n',
    ],
    [
      'packages_locked',
      'RPMDB already locked by 3692',
      'RPMDB already locked by 3692\n  The application with PID 3692 is: python3\n',
    ],
    [
      'download_failed',
      'Failed to download metadata',
      "Errors during downloading metadata for repository 'dead':\n  - Curl error (7): Couldn't connect to server for http://127.0.0.1:1/repodata/repomd.xml\nError: Failed to download metadata for repo 'dead': Cannot download repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried\n",
    ],
    [
      'maintainer_script_failed',
      '%prein(failing-1.0-1.noarch) scriptlet failed',
      'error: %prein(failing-1.0-1.noarch) scriptlet failed, exit status 3\n\nError in PREIN scriptlet in rpm package failing\nError: Transaction failed\n',
    ],
    [
      'record_damaged',
      'database disk image is malformed',
      "error: SELECT hnum, idx FROM 'Name' WHERE key=?: 11: database disk image is malformed\nError: something\n",
    ],
    [
      'sources_unreadable',
      'no enabled repositories',
      'Error: There are no enabled repositories in "/etc/yum.repos.d".\n',
    ],
    ['dnf_failed', 'dnf ended with status 3', ''],
  ])('is %s', (reason, said, err) => {
    const error = dnfManager.error(done('', 3, `Updating Subscription Management.\n${err}`));
    expect(error).toMatchObject({ reason });
    expect(error.message).toContain(said);
    expect(error.message).not.toContain('Subscription');
  });

  it('is thrown where there is no table', () => {
    const err = 'Error: Unable to find a match: nosuch\n';
    expect(() => dnfManager.readSimulation(done('', 1, err))).toThrow(
      expect.objectContaining({ reason: 'package_not_found' }),
    );
  });

  it('is told of where it goes on with old lists or fewer repositories', () => {
    const out =
      "Errors during downloading metadata for repository 'dead':\n  - Curl error (7)\nIgnoring repositories: dead\nMetadata cache created.\n";
    const err = "Warning: failed loading '/etc/yum.repos.d/broken.repo', skipping.\n";
    expect(dnfManager.complaints(done(out, 0, err))).toEqual([
      "Warning: failed loading '/etc/yum.repos.d/broken.repo', skipping.",
      "Errors during downloading metadata for repository 'dead':",
      'Ignoring repositories: dead',
    ]);
  });
});

describe('a command line of dnf', () => {
  it('forbids by itself what the settings of the server may allow', () => {
    const argv = dnfManager.install('/job', ['alpha-0:1.0-1.noarch']);
    expect(argv).toEqual(
      expect.arrayContaining([
        '--setopt=installonly_limit=0',
        '--setopt=clean_requirements_on_remove=False',
        '--setopt=cachedir=/job/cache',
        '--cacheonly',
      ]),
    );
    expect(argv.join(' ')).not.toMatch(/allowerasing|nogpgcheck/);
    expect(argv.slice(-2)).toEqual(['install', 'alpha-0:1.0-1.noarch']);
  });

  it('names a package as exactly as it can', () => {
    expect(dnfManager.word('alpha', null)).toBe('alpha');
    expect(dnfManager.word('alpha', '1:2')).toBe('alpha-1:2');
    expect(dnfManager.exactWord(noarch('alpha', '2-1'))).toBe('alpha-0:2-1.noarch');
    expect(dnfManager.exactWord(noarch('alpha', '3:2-1'))).toBe('alpha-3:2-1.noarch');
  });
});

it('lines of dnf say how far it is, those of its own checks nothing', () => {
  const read = (line: string) => dnfManager.progress(line);
  expect(
    read('  Installing       : alpha-1.0-1.noarch                                     2/3 '),
  ).toEqual({ percent: 66, text: 'Installing alpha-1.0-1.noarch' });
  expect(
    read('  Running scriptlet: failing-1.0-1.noarch                                   1/1 '),
  ).toEqual({ percent: 100, text: 'Running scriptlet failing-1.0-1.noarch' });
  expect(
    read('  Preparing        :                                                        1/1 '),
  ).toBeNull();
  expect(
    read('  Verifying        : alpha-1.0-1.noarch                                     1/3 '),
  ).toBeNull();
  expect(read('Installed:')).toBeNull();
});

it('versions in the repositories are read with their epochs', () => {
  const out = 'alpha\t0\t1.0-1\tnoarch\nalpha\t2\t2.0-1\tnoarch\n';
  expect(dnfManager.readAvailable(done(out, 0))).toEqual([
    noarch('alpha', '1.0-1'),
    noarch('alpha', '2:2.0-1'),
  ]);
});
