import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { itEach } from '../../../../test/fixtures/matrix.ts';
import {
  ACTION,
  disk,
  expectRepairedAndUndone,
  stepsOf,
  useAccountsDisk,
  type Fault,
} from '../testing/accounts-disk.ts';

useAccountsDisk();

it('accounts that are well are left as they are', async () => {
  const bytes = readFileSync(disk.image);
  expect((await disk.plan(ACTION)).plan).toMatchObject({ steps: [], findings: [] });
  expect(readFileSync(disk.image).equals(bytes)).toBe(true);
  expect(await disk.run(ACTION)).toMatchObject({ result: { outcome: 'nothing_to_do' } });
});

describe('the files of users and passwords', () => {
  itEach<[what: string, fault: Fault]>(2, [
    [
      'are put back from their older copy: /etc/shadow that is missing',
      {
        script: 'rm etc/shadow',
        steps: ['database'],
        look: 'cmp etc/shadow etc/shadow-; stat -c "%a %u:%g" etc/shadow',
        expected: '640 0:42\n',
      },
    ],
    [
      'are put back from their older copy: /etc/passwd that is empty',
      {
        script: ': > etc/passwd',
        steps: ['database'],
        look: 'cmp etc/passwd etc/passwd-; stat -c "%a %u:%g" etc/passwd',
        expected: '644 0:0\n',
      },
    ],
    [
      'are made anew without passwords where there is no older copy',
      {
        script: 'rm etc/shadow etc/shadow-',
        steps: ['database'],
        look: 'cat etc/shadow',
        expected: 'root:!:::::::\ndaemon:*:::::::\nann:!:::::::\n',
      },
    ],
    [
      'have one line taken from the older copy, and no other touched',
      {
        script: `sed -i 's/^root:.*/root:broken/; s/^ann:.*/ann:*:1:2:3:4:5:6:/' etc/shadow`,
        steps: ['database'],
        look: 'cat etc/shadow',
        expected: /^root:\$6\$oldsalt.*:19000:0:99999:7:::\ndaemon:.*\nann:\*:1:2:3:4:5:6:\n$/,
      },
    ],
    [
      'keep a hash that can be read, where its line cannot',
      {
        script: `rm etc/shadow-; sed -i -E 's/^(root:[^:]*:19000).*/\\1/' etc/shadow`,
        steps: ['database'],
        look: 'head -n 1 etc/shadow',
        expected: /^root:\$6\$oldsalt[^:]*:19000:::::::?\n$/,
      },
    ],
    [
      'lock an account of which nothing can be read',
      {
        script: `rm etc/shadow-; sed -i 's/^root:.*/root:broken/' etc/shadow`,
        steps: ['database'],
        look: 'head -n 1 etc/shadow',
        expected: 'root:!:::::::\n',
      },
    ],
    [
      'get lines for accounts that have none',
      {
        script: `sed -i '/^ann:/d' etc/shadow; sed -i '/^root:/d' etc/passwd`,
        steps: ['database'],
        look: 'tail -n 1 etc/shadow; tail -n 1 etc/passwd',
        expected: 'ann:!:19000:0:99999:7:::\nroot:x:0:0:root:/root:/bin/bash\n',
      },
    ],
    [
      'are hidden from others and can be read by all who must',
      {
        script: 'chmod 666 etc/shadow etc/group; chmod 600 etc/passwd; chown 1000 etc/gshadow',
        steps: ['database'],
        look: 'stat -c "%a %u" etc/shadow etc/group etc/passwd etc/gshadow',
        expected: '640 0\n644 0\n644 0\n640 0\n',
      },
    ],
    [
      'are mended although they are immutable',
      {
        script: `sed -i 's/^root:.*/root:broken/' etc/shadow; chattr +i etc/shadow`,
        steps: ['database'],
        look: 'lsattr etc/shadow',
        expected: /^\S*i/,
      },
    ],
  ])('%s', async (_, fault) => expectRepairedAndUndone(fault));

  it('are left to a person where no older copy can be read', async () => {
    await disk.sh(
      `rm etc/passwd; echo nonsense > etc/passwd-; echo ':::' >> etc/group; rm etc/group-`,
    );
    await expect(disk.plan(ACTION)).rejects.toThrow(
      /decision_needed.*\/etc\/passwd.*line 5 of \/etc\/group/s,
    );
  });

  it.each(['passwd', 'shadow', 'group'])(
    'are refused where /etc/%s leads elsewhere',
    async (name) => {
      await disk.sh(`mv etc/${name} root; ln -s /root/${name} etc/${name}`);
      const before = await disk.look();
      await expect(disk.plan(ACTION)).rejects.toThrow('not_a_plain_file');
      expect(await disk.look()).toBe(before);
    },
  );

  it('take nothing from an older copy that leads out of the disk', async () => {
    await disk.sh('rm etc/shadow etc/shadow-; ln -s ../../../../../../etc/shadow etc/shadow-');
    const { plan } = await disk.plan(ACTION);
    expect(plan.findings.join(' ')).toContain('without an older copy');
  });
});

describe('sudo', () => {
  itEach<[what: string, fault: Fault]>(2, [
    [
      'passes over a file with an error, which is kept beside',
      {
        script: `printf 'ann ALL=(ALL ALL\\n' > etc/sudoers.d/zz; chmod 440 etc/sudoers.d/zz`,
        steps: ['sudo'],
        look: 'ls etc/sudoers.d; cat etc/sudoers.d/zz.disabled; stat -c %a etc/sudoers.d/zz.disabled',
        expected: 'README\nzz.disabled\nann ALL=(ALL ALL\n440\n',
      },
    ],
    [
      'has a wrong line of its main file made a comment, with what goes on in the next',
      {
        script: `printf 'ann ALL=(ALL \\\\\\n  ALL\\nann ALL=(ALL) ALL\\n' >> etc/sudoers`,
        steps: ['sudo'],
        look: 'tail -n 3 etc/sudoers',
        expected: '# ann ALL=(ALL \n#   ALL\nann ALL=(ALL) ALL\n',
      },
    ],
    [
      'takes files that only root may write',
      {
        script: 'chmod 666 etc/sudoers; chown 1000 etc/sudoers.d/README',
        steps: ['sudo'],
        look: 'stat -c "%a %u:%g" etc/sudoers etc/sudoers.d/README',
        expected: '440 0:0\n440 0:0\n',
      },
    ],
    [
      'may become root',
      {
        script: 'chmod 755 usr/bin/sudo',
        steps: ['sudo'],
        look: 'stat -c "%a %u" usr/bin/sudo',
        expected: '4755 0\n',
      },
    ],
  ])('%s', async (_, fault) => expectRepairedAndUndone(fault));

  it('is not given root where another could have changed it', async () => {
    await disk.sh('chown 1000 usr/bin/sudo');
    await expect(disk.plan(ACTION)).rejects.toThrow(/decision_needed.*install sudo again/);
  });

  it('is not missed where it is not installed', async () => {
    await disk.sh('rm -r usr/bin/sudo etc/sudoers etc/sudoers.d');
    expect(await stepsOf()).toEqual([]);
  });
});

describe('what logging in goes through', () => {
  itEach<[what: string, fault: Fault]>(2, [
    [
      'gets a stack that is missing',
      {
        script: 'rm etc/pam.d/common-auth etc/pam.d/su',
        steps: ['pam'],
        look: 'cat etc/pam.d/su',
        expected: /^# .*\nauth sufficient pam_rootok\.so\n@include common-auth\n/,
      },
    ],
    [
      'does without a module that releases have taken out',
      {
        script: `sed -i '1i auth required pam_tally2.so deny=5' etc/pam.d/su`,
        steps: ['pam'],
        look: 'head -n 1 etc/pam.d/su',
        expected: '# auth required pam_tally2.so deny=5\n',
      },
    ],
    [
      'does without a second factor only where the order says so',
      {
        script: `echo 'auth required pam_google_authenticator.so' >> etc/pam.d/su`,
        parameters: { withoutModules: ['pam_google_authenticator.so'] },
        steps: ['pam'],
        look: 'tail -n 1 etc/pam.d/su',
        expected: '# auth required pam_google_authenticator.so\n',
      },
    ],
    [
      'is written anew where the order takes away what a stack rests on',
      {
        script: `sed -i 's/pam_unix/pam_unicorn/' etc/pam.d/common-auth`,
        parameters: { withoutModules: ['pam_unicorn.so'] },
        steps: ['pam'],
        look: 'cat etc/pam.d/common-auth',
        expected:
          /^# .*\nauth \[success=1 default=ignore\] pam_unix\.so nullok\nauth requisite pam_deny\.so\n/,
      },
    ],
  ])('%s', async (_, fault) => expectRepairedAndUndone(fault));

  it.each([
    [
      'a second factor is missing',
      `echo 'auth required pam_oath.so' >> etc/pam.d/su`,
      /withoutModules=/,
    ],
    [
      'what checks passwords is missing',
      'rm usr/lib/*/security/pam_unix.so',
      /install its package/,
    ],
    [
      'lines are counted',
      `printf 'auth [success=2 default=ignore] pam_unix.so\\nauth required pam_tally2.so\\nauth requisite pam_deny.so\\n' > etc/pam.d/su`,
      /counts lines/,
    ],
  ])('is left to a person where %s', async (_, script, said) => {
    await disk.sh(script);
    await expect(disk.plan(ACTION)).rejects.toThrow(said);
  });
});

describe('one account', () => {
  itEach<[what: string, fault: Fault]>(2, [
    [
      'is unlocked to the password it had',
      {
        script: `sed -i 's/^root:/root:!/; s/!:/:/' etc/shadow; sed -i 's/^root:\\$/root:!$/' etc/shadow`,
        parameters: { user: 'root' },
        steps: ['account'],
        look: 'head -n 1 etc/shadow',
        expected: /^root:\$6\$oldsalt/,
      },
    ],
    [
      'is let in again that had expired and has no shell',
      {
        script: `sed -i -E 's/^(root:.*):::$/\\1::1:/' etc/shadow; sed -i 's,^root:.*,root:x:0:0::/root:/usr/sbin/nologin,' etc/passwd
          mkdir -p var/lib/faillock etc/security; echo 'dir=/var/lib/faillock' > etc/security/faillock.conf; echo x > var/lib/faillock/root`,
        parameters: { user: 'root' },
        steps: ['account'],
        look: 'head -n 1 etc/shadow etc/passwd; wc -c < var/lib/faillock/root',
        expected: /:99999:7:::\n[^]*\/root:\/bin\/bash\n0\n$/,
      },
    ],
  ])('%s', async (_, fault) => expectRepairedAndUndone(fault));

  it('is not unlocked to no password', async () => {
    await expect(disk.plan(ACTION, { user: 'ann' })).rejects.toThrow('no_password_to_unlock');
  });

  it('gets no shell without being named', async () => {
    await expect(disk.plan(ACTION, { shell: '/bin/sh' })).rejects.toThrow();
  });
});
