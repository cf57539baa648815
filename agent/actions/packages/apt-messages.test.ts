import { describe, expect, it } from 'vitest';
import { aptComplaints, aptError } from './apt-messages.ts';

const failed = (err: string, out = '') => aptError({ err, out, exitStatus: 100 });

describe('what apt says when it cannot go on', () => {
  it.each([
    [
      'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 0',
      'packages_locked',
    ],
    ["E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to", 'dpkg_interrupted'],
    ["E: You don't have enough free space in /var/cache/apt/archives/.", 'no_space'],
    [
      'E: There were unauthenticated packages and -y was used without --allow-unauthenticated',
      'packages_unauthenticated',
    ],
    ['E: Malformed entry 1 in list file /etc/apt/sources.list (Suite)', 'sources_unreadable'],
    [
      "E: Unmet dependencies. Try 'apt --fix-broken install' with no packages (or specify a solution).",
      'dependencies_broken',
    ],
    ['E: Unable to locate package nosuch', 'package_not_found'],
    ["E: Version '9' for 'alpha' was not found", 'package_not_found'],
    ['E: Unable to correct problems, you have held broken packages.', 'dependencies_unmet'],
    ['E: Failed to fetch http://a/b.deb  404  Not Found', 'download_failed'],
    ['E: Sub-process /usr/bin/dpkg returned an error code (1)', 'maintainer_script_failed'],
    ['E: The method driver /usr/lib/apt/methods/x could not be found.', 'apt_failed'],
  ])('%s', (line, reason) => {
    const error = failed(`W: something else\n${line}\n`);
    expect(error.reason).toBe(reason);
    expect(error.message).toContain(line);
    expect(error.message).not.toContain('something else');
  });

  it('comes with what is missing below which package', () => {
    const out =
      'The following packages have unmet dependencies:\n gamma : Depends: delta but it is not installable\n';
    const error = failed('E: Unable to correct problems, you have held broken packages.\n', out);
    expect(error.message).toContain('gamma : Depends: delta but it is not installable');
  });

  it('is the status alone where it says nothing', () => {
    expect(failed('').message).toBe('apt-get ended with status 100');
  });

  it('is bounded', () => {
    expect(failed(`E: ${'x'.repeat(10_000)}\n`).message.length).toBeLessThan(2000);
  });
});

it('complaints are each told once, without what only sums them up', () => {
  const err =
    'W: GPG error: NO_PUBKEY 1\nW: GPG error: NO_PUBKEY 1\nW: Some index files failed to download. They have been ignored.\nplain\n';
  expect(aptComplaints({ err })).toEqual(['GPG error: NO_PUBKEY 1']);
});
