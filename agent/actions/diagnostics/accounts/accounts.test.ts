import { chmod, mkdir, rm, symlink } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { names, ProbeFixture, recorded, seenBy } from '../testing/probe-fixture.ts';
import { faillock } from './faillock.ts';
import { loginAccounts } from './login-accounts.ts';
import { pam } from './pam.ts';
import { sudoers } from './sudoers.ts';
import { systemModes } from './system-modes.ts';

let system: ProbeFixture;
beforeEach(async () => {
  system = await ProbeFixture.create();
});
afterEach(() => system.close());

const HASH = '$y$j9T$saltsaltsaltsaltsalt$hashhashhashhashhashhashhashhashhashhashhas';
const PASSWD = 'root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/bash\n';
const GROUP = 'root:x:0:\nsudo:x:27:ann\nann:x:1000:\n';
const shadow = (root: string, rootExpires = '', ann = '!', annExpires = '') =>
  `root:${root}:20000:0:99999:7::${rootExpires}:\nann:${ann}:20000:0:99999:7::${annExpires}:\n`;

async function accounts(shadowText: string, passwd = PASSWD): Promise<void> {
  await system.write('etc/passwd', passwd);
  await system.write('etc/group', GROUP);
  await system.write('etc/shadow', shadowText, 0o640);
  await system.write('bin/bash', '', 0o755);
}

describe('accounts', () => {
  const look = () => system.look(loginAccounts);

  it('are well when root can log in', async () => {
    await accounts(shadow(HASH));
    expect(await look()).toEqual([]);
  });

  it('are well when root is locked and somebody may sudo, as on Ubuntu', async () => {
    await accounts(shadow('!', '', HASH));
    expect(await look()).toEqual([]);
  });

  it.each(['!', '*', `!${HASH}`])(
    'are locked when root has %s and nobody may sudo',
    async (hash) => {
      await accounts(shadow(hash));
      expect(names(await look())).toEqual(['auth.locked root']);
    },
  );

  it('have expired, also for people who may sudo', async () => {
    await accounts(shadow(HASH, '1', HASH, '20000'));
    expect(names(await look())).toEqual(['auth.expired root', 'auth.expired ann']);
    await accounts(shadow(HASH, '40000'));
    expect(await look()).toEqual([]);
  });

  it.each(['/bin/zsh', '/usr/sbin/nologin', '/bin/false'])('have no shell in %s', async (shell) => {
    await accounts(shadow(HASH, '', HASH), PASSWD.replace('/root:/bin/bash', `/root:${shell}`));
    const [found] = await look();
    expect(found).toMatchObject({ rule: 'auth.shell', subject: 'root', severity: 'critical' });
    expect(found!.evidence).toEqual([{ file: '/etc/passwd', line: 1, text: `root: ${shell}` }]);
  });

  it('have a shell that is no program', async () => {
    await accounts(shadow(HASH));
    await chmod(system.path('bin/bash'), 0o644);
    expect(names(await look())).toContain('auth.shell root');
  });

  it('are lost without /etc/shadow, or with an empty one', async () => {
    await accounts(shadow(HASH));
    await system.write('etc/shadow', '');
    expect(names(await look())).toEqual(['auth.db_broken /etc/shadow']);
    await rm(system.path('etc/shadow'));
    expect(names(await look())).toEqual(['auth.db_broken /etc/shadow']);
  });

  it('are broken by a line that is none, and the line itself is never shown', async () => {
    await accounts(`root:${HASH}\nann:!:20000:0:99999:7:::\n`);
    const [found] = await look();
    expect(found).toMatchObject({ rule: 'auth.db_broken', severity: 'critical' });
    expect(JSON.stringify(found)).not.toContain('hashhash');
    await accounts(shadow(HASH), PASSWD.replace('root:x:0:0:root:/root:/bin/bash', 'broken'));
    expect(await look()).toMatchObject([{ subject: '/etc/passwd', severity: 'critical' }]);
  });

  it('cannot be changed while a file is immutable', async () => {
    await accounts(shadow(HASH));
    const file = system.path('etc/shadow');
    await seenBy(['chattr', '+i', file]);
    try {
      expect(names(await look())).toEqual(['auth.immutable /etc/shadow']);
    } finally {
      await seenBy(['chattr', '-i', file]);
    }
  });

  it('never shows a hash', async () => {
    await accounts(shadow(HASH, '1', `!${HASH}`, '1'));
    expect(JSON.stringify(await look())).not.toContain('hashhash');
  });
});

describe('sudo', () => {
  const GOOD = 'root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n';

  beforeEach(() => system.write('usr/bin/sudo', '', 0o4755));

  it('is well with a good file', async () => {
    await system.write('etc/sudoers', GOOD, 0o440);
    expect(await system.look(sudoers)).toEqual([]);
  });

  it('refuses an error, and the place is shown', async () => {
    await system.write('etc/sudoers', `${GOOD}ann ALL=(ALL ALL\n`, 0o440);
    const [found] = await system.look(sudoers);
    expect(found).toMatchObject({ rule: 'auth.sudoers', evidence: [{ line: 3 }] });
  });

  it('refuses a file that others may write', async () => {
    await system.write('etc/sudoers', GOOD, 0o666);
    expect(names(await system.look(sudoers))).toContain('auth.sudoers /etc/sudoers');
  });

  it('is not missed where it is not installed', async () => {
    await expect(system.look(sudoers)).rejects.toThrow('not installed');
    await rm(system.path('usr/bin/sudo'));
    await system.write('etc/sudoers', GOOD, 0o666);
    await expect(system.look(sudoers)).rejects.toThrow('not installed');
  });
});

describe('files of password hashes', () => {
  const look = async () =>
    (await system.look(systemModes, { folders: recorded('') })).filter(({ subject }) =>
      /shadow/.test(subject),
    );

  it('are well where root and a group read them', async () => {
    await accounts(shadow(HASH));
    expect(await look()).toEqual([]);
    await chmod(system.path('etc/shadow'), 0);
    expect(await look()).toEqual([]);
  });

  it.each([0o666, 0o644, 0o660])('are open to others than root with mode %o', async (mode) => {
    await accounts(shadow(HASH));
    await chmod(system.path('etc/shadow'), mode);
    expect(await look()).toMatchObject([
      {
        rule: 'sys.modes',
        severity: 'critical',
        subject: '/etc/shadow',
        evidence: [{ text: `mode 0${mode.toString(8)}, owner 0` }],
        suggestion: { action: 'access.repair-accounts', parameters: {} },
      },
    ]);
  });
});

describe('PAM', () => {
  beforeEach(async () => {
    await system.write('etc/pam.d/sshd', '@include common-auth\nsession optional pam_motd.so\n');
    await system.write(
      'etc/pam.d/common-auth',
      'auth [success=1 default=ignore] pam_unix.so nullok\n-auth optional pam_gone.so\n',
    );
    await system.write('usr/lib/x86_64-linux-gnu/security/pam_unix.so', '');
    await mkdir(system.path('usr/lib'), { recursive: true });
    await symlink('usr/lib', system.path('lib'));
  });

  it('is well when all it needs is there', async () => {
    expect(await system.look(pam)).toEqual([]);
  });

  it('misses a file it includes', async () => {
    await rm(system.path('etc/pam.d/common-auth'));
    const [found] = await system.look(pam);
    expect(found).toMatchObject({
      rule: 'auth.pam_missing',
      severity: 'critical',
      evidence: [{ file: '/etc/pam.d/sshd', line: 1, text: '@include common-auth' }],
    });
  });

  it('misses a module, in a file that is included too', async () => {
    await rm(system.path('usr/lib/x86_64-linux-gnu/security/pam_unix.so'));
    expect(names(await system.look(pam))).toEqual([
      'auth.pam_missing /etc/pam.d/common-auth pam_unix.so',
    ]);
  });
});

describe('failed log-ins', () => {
  const tally = (failures: number) =>
    system.write('var/lib/faillock/root', 'x'.repeat(64 * failures), 0o600);

  beforeEach(async () => {
    await accounts(shadow(HASH));
    await system.write('etc/security/faillock.conf', '# deny = 1\ndir = /var/lib/faillock\n');
  });

  it('lock nobody out while they are few', async () => {
    await tally(2);
    expect(await system.look(faillock)).toEqual([]);
  });

  it('lock out who has as many as it takes', async () => {
    await tally(3);
    expect(await system.look(faillock)).toMatchObject([
      {
        rule: 'auth.faillock',
        subject: 'root',
        suggestion: { action: 'access.repair-accounts', parameters: { user: 'root' } },
      },
    ]);
    await system.write('etc/security/faillock.conf', 'deny = 5\ndir=/var/lib/faillock\n');
    expect(await system.look(faillock)).toEqual([]);
  });

  it('are not counted where PAM does not count them', async () => {
    await rm(system.path('etc/security'), { recursive: true });
    await expect(system.look(faillock)).rejects.toThrow('not used here');
  });
});
