import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { itEach } from '../../../test/fixtures/matrix.ts';
import type { Done } from '../../jobs/disk-jobs-fixture.ts';
import { AccessDisk } from './testing/access-disk.ts';

const ACTION = 'access.reset-password';
const DAY = String(Math.floor(Date.now() / 86_400_000));

let disk: AccessDisk;
beforeEach(async () => {
  disk = await AccessDisk.create();
});
afterEach(() => disk.close());

/** A line of shadow(5) as its fields. */
async function shadowOf(user: string): Promise<string[]> {
  const text = (await disk.read('/etc/shadow')) ?? '';
  return text
    .split('\n')
    .find((line) => line.startsWith(`${user}:`))!
    .split(':');
}

/** What libcrypt itself makes of a password with the setting of a hash (crypt(3)). */
function libcrypt(password: string, hash: string): string {
  const script = 'my ($s, $p) = <STDIN>; chomp ($s, $p); print crypt($p, $s)';
  return execFileSync('perl', ['-e', script], { input: `${hash}\n${password}\n` }).toString();
}

/** Runs the whole of it: plan, apply, the password opened by the client, undo; returns the applied job. */
async function expectResetAndUndone(
  parameters: Record<string, string | boolean> = {},
  check: (password: string, done: Done) => Promise<void> = async () => undefined,
): Promise<void> {
  const before = await disk.look();
  const done = await disk.run(ACTION, parameters);
  expect(done).toMatchObject({ outcome: 'succeeded', result: { outcome: 'password_set' } });
  const password = await disk.secretOf(done.job);
  const user = (parameters['user'] ?? 'root') as string;
  const [, hash = ''] = await shadowOf(user);
  expect(libcrypt(password, hash)).toBe(hash);
  expect(await disk.look()).not.toBe(before);
  await check(password, done);
  expect(await disk.undo(ACTION, done.job, parameters)).toMatchObject({
    outcome: 'succeeded',
    result: { outcome: 'restored' },
  });
  expect(await disk.look()).toBe(before);
}

describe('a password that is reset', () => {
  it('is typable, hashed as the distribution does, and undo gives the old bytes back', async () => {
    await expectResetAndUndone({}, async (password, { result }) => {
      expect(password).toMatch(/^[bcdefghjknprstuvx]{20}$/);
      expect(result).toMatchObject({ user: 'root', method: 'yescrypt', files: ['/etc/shadow'] });
      const [, hash, changed, ...rest] = await shadowOf('root');
      expect(hash).toMatch(/^\$y\$/);
      expect([changed, ...rest]).toEqual([DAY, '0', '99999', '7', '', '', '']);
      const text = (await disk.read('/etc/shadow'))!;
      expect(text).toContain('\ndaemon:*:19000:0:99999:7:::\nann:!:19000:0:99999:7:::\n');
      expect(await disk.sh('stat -c "%a %u %g" etc/shadow')).toBe('640 0 42\n');
      expect(await disk.sh('getfattr --only-values -n security.selinux etc/shadow')).toContain(
        'shadow_t',
      );
    });
  });

  it('is hashed with SHA-512 where the distribution does not say yescrypt', async () => {
    await disk.write('/etc/pam.d/system-auth', 'password sufficient pam_unix.so sha512 shadow\n');
    await expectResetAndUndone({}, async () => {
      expect((await shadowOf('root'))[1]).toMatch(/^\$6\$/);
    });
  });

  it('unlocks, takes an expiry away, forgets failed log-ins and gives a shell that works', async () => {
    await disk.sh(`
      sed -i 's/^ann:.*/ann:!:19000:0:90:7:30:1:/' etc/shadow
      sed -i 's,^ann:.*,ann:x:1000:1000:Ann:/home/ann:/bin/zsh,' etc/passwd
      mkdir -p etc/security var/lib/faillock
      echo 'dir = /var/lib/faillock' > etc/security/faillock.conf
      printf 'abc\\000' > var/lib/faillock/ann`);
    const { plan } = await disk.plan(ACTION, { user: 'ann' });
    expect(plan.steps.map(({ id }) => id)).toEqual([
      'secret',
      'passwd',
      'failures',
      'shadow',
      'verify',
    ]);
    expect(plan.findings.join(' ')).toMatch(
      /locked.* expired, on day 1 .*\/bin\/zsh; .*\/bin\/bash/,
    );
    await expectResetAndUndone({ user: 'ann' }, async () => {
      expect((await shadowOf('ann')).slice(2)).toEqual([DAY, '0', '90', '7', '30', '', '']);
      expect(await disk.read('/etc/passwd')).toContain('ann:x:1000:1000:Ann:/home/ann:/bin/bash\n');
      expect(await disk.read('/var/lib/faillock/ann')).toBe('');
    });
  });

  it('must be changed at the first log-in where that is asked for', async () => {
    await expectResetAndUndone({ changeAtLogin: true }, async () => {
      expect((await shadowOf('root'))[2]).toBe('0');
    });
  });

  it('is set in an immutable file, which is immutable again afterwards', async () => {
    const flags = () => disk.sh('lsattr etc/shadow');
    await disk.sh('chattr +i etc/shadow');
    const { plan } = await disk.plan(ACTION);
    const shown = plan.steps.find(({ id }) => id === 'shadow')!.changes;
    expect(shown[0]).toEqual({ type: 'command', argv: ['chattr', '-i', '/etc/shadow'] });
    expect(shown.at(-1)).toEqual({ type: 'command', argv: ['chattr', '+i', '/etc/shadow'] });
    await expectResetAndUndone({}, async () => expect(await flags()).toMatch(/^\S*i/));
    expect(await flags()).toMatch(/^\S*i/);
    await disk.sh('chattr -i etc/shadow');
  });

  it('is looked up in /etc/shadow even where /etc/passwd had said otherwise', async () => {
    await disk.sh(`sed -i 's/^root:x:/root::/' etc/passwd`);
    await expectResetAndUndone({}, async () => {
      expect(await disk.read('/etc/passwd')).toMatch(/^root:x:0:0:/);
    });
  });

  it('stands nowhere: not in plan, log, journal, backups, nor in anything the job left', async () => {
    const { plan, bytes } = await disk.plan(ACTION);
    const done = await disk.apply(ACTION, bytes);
    const password = await disk.secretOf(done.job);
    const [, hash = ''] = await shadowOf('root');
    const tail = hash.slice(hash.lastIndexOf('$') + 1);
    const everything = disk.leftBehind();
    // A canary that is not found anywhere proves nothing unless its like would be.
    expect(everything.some(({ text }) => text.includes('secret_sealed'))).toBe(true);
    for (const { path, text } of everything) {
      expect(text.includes(password), path).toBe(false);
      expect(text.includes(tail), path).toBe(false);
    }
    expect(JSON.stringify(plan)).not.toMatch(/oldsalt|F2tTc3/);
    expect(done.said).not.toMatch(/oldsalt|F2tTc3/);
  });
});

describe('a plan of it', () => {
  it('is the same bytes each time, and shows every change without a hash', async () => {
    const first = await disk.plan(ACTION);
    expect((await disk.plan(ACTION)).bytes).toBe(first.bytes);
    const shown = JSON.stringify(first.plan.steps.find(({ id }) => id === 'shadow')!.changes);
    expect(shown).toContain('-root:(hash):19000:0:99999:7:::');
    expect(shown).toContain('+root:(new hash, yescrypt):(today):0:99999:7:::');
  });

  it('changes not a byte of the disk', async () => {
    const before = readFileSync(disk.image);
    await disk.plan(ACTION);
    expect(readFileSync(disk.image).equals(before)).toBe(true);
  });

  it('is refused when it is carried out for another recipient', async () => {
    const { bytes } = await disk.plan(ACTION);
    const before = await disk.look();
    const publicKey = execFileSync('sh', ['-c', KEY]).toString().trim();
    const done = await disk.apply(
      ACTION,
      bytes,
      {},
      { credentialRecipient: { type: 'ssh', publicKey } },
    );
    expect(done).toMatchObject({ outcome: 'failed', reason: 'changed_since_plan' });
    expect(await disk.look()).toBe(before);
  });

  it('is stale once the file has changed, and nothing is made', async () => {
    const { bytes } = await disk.plan(ACTION);
    await disk.sh(`sed -i 's/^ann:!/ann:*/' etc/shadow`);
    const before = await disk.look();
    const done = await disk.apply(ACTION, bytes);
    expect(done).toMatchObject({ outcome: 'failed', reason: 'changed_since_plan' });
    await expect(disk.secretOf(done.job)).rejects.toThrow('sealed no password');
    expect(await disk.look()).toBe(before);
  });

  itEach<[what: string, parameters: Record<string, string>, reason: string]>(2, [
    ['nobody is named to seal to', {}, 'no_credential_recipient'],
    ['there is no such user', { user: 'bob' }, 'user_not_found'],
    ['nobody logs in with the account', { user: 'daemon' }, 'not_a_login_account'],
    ['the shell is not there', { shell: '/bin/fish' }, 'shell_missing'],
  ])('is not made where %s', async (_, parameters, reason) => {
    const change = reason === 'no_credential_recipient' ? { credentialRecipient: undefined } : {};
    const before = await disk.look();
    await expect(disk.plan(ACTION, parameters, change)).rejects.toThrow(reason);
    expect(await disk.look()).toBe(before);
  });

  itEach(1, [
    ['/etc/shadow is missing', 'rm etc/shadow'],
    ['the line in /etc/shadow is broken', `sed -i 's/^root:.*/root:broken/' etc/shadow`],
    ['the line in /etc/passwd is broken', `sed -i 's/^root:.*/root:x/' etc/passwd`],
  ])('is not made where %s: that is for another action', async (_, script) => {
    await disk.sh(script);
    await expect(disk.plan(ACTION)).rejects.toThrow(/accounts_broken.*access\.repair-accounts/);
  });

  it('is not made by a rescue system for itself', async () => {
    const own = { target: null, agentMode: 'rescue' } as const;
    await expect(disk.plan(ACTION, {}, own)).rejects.toThrow('target_missing');
  });
});

const KEY =
  'd=$(mktemp -d); ssh-keygen -q -t ed25519 -N "" -C me@laptop -f $d/k; cat $d/k.pub; rm -r $d';

describe("the client's key in place of a password", () => {
  let publicKey: string;
  beforeEach(() => {
    publicKey = execFileSync('sh', ['-c', KEY]).toString().trim();
  });
  const run = (parameters = {}) =>
    disk.run(ACTION, parameters, { credentialRecipient: { type: 'ssh', publicKey } });

  it('is let in, with the modes and owner that sshd wants; no secret is made; undo takes it away', async () => {
    const before = await disk.look();
    const done = await run({ user: 'ann' });
    expect(done).toMatchObject({
      outcome: 'succeeded',
      result: {
        outcome: 'key_installed',
        method: null,
        sealedTo: null,
        files: ['/home/ann/.ssh/authorized_keys'],
      },
    });
    expect(await disk.read('/home/ann/.ssh/authorized_keys')).toBe(`${publicKey}\n`);
    expect(await disk.sh('stat -c "%a %u:%g" home/ann/.ssh home/ann/.ssh/*')).toBe(
      '700 1000:1000\n600 1000:1000\n',
    );
    await expect(disk.secretOf(done.job)).rejects.toThrow('sealed no password');
    const again = await run({ user: 'ann' });
    expect(again).toMatchObject({ result: { outcome: 'nothing_to_do', files: [] } });
    await disk.undo(ACTION, done.job, { user: 'ann' });
    expect(await disk.look()).toBe(before);
  });

  it('is labelled as the policy of SELinux wants it, which no rescue system would do', async () => {
    await disk.write('/etc/selinux/config', 'SELINUX=enforcing\nSELINUXTYPE=targeted\n');
    await disk.sh(
      'setfattr -n security.selinux -v unconfined_u:object_r:user_home_dir_t:s0 home/ann',
    );
    const before = await disk.look();
    const done = await run({ user: 'ann' });
    expect(await disk.sh('getfattr -R --only-values -n security.selinux home/ann/.ssh')).toBe(
      'unconfined_u:object_r:ssh_home_t:s0'.repeat(2),
    );
    await disk.undo(ACTION, done.job, { user: 'ann' });
    expect(await disk.look()).toBe(before);
  });

  it('is added to those that are there, and wrong modes are put right', async () => {
    const blob = 'AAAAC3NzaC1lZDI1NTE5AAAAIJ6tQbxzKp0ydTmU2u8zjmVqbQ7Jc7xg5v8c1rUjg3eX';
    await disk.sh(`
      mkdir home/ann/.ssh; printf 'from="10.0.0.1",environment="TOKEN=canary" ssh-ed25519 ${blob} ann' > home/ann/.ssh/authorized_keys
      chmod 777 home/ann home/ann/.ssh; chmod 660 home/ann/.ssh/authorized_keys; chown 0:0 home/ann/.ssh/authorized_keys
      sed -i 's/^ann:!:19000:0:99999:7:::/ann:!:0:0:99999:7::1:/' etc/shadow`);
    const before = await disk.look();
    const recipient = { credentialRecipient: { type: 'ssh' as const, publicKey } };
    const { plan } = await disk.plan(ACTION, { user: 'ann' }, recipient);
    expect(JSON.stringify(plan)).not.toContain('canary');
    const done = await run({ user: 'ann' });
    expect(done.result).toMatchObject({ outcome: 'key_installed' });
    expect(await disk.read('/home/ann/.ssh/authorized_keys')).toBe(
      `from="10.0.0.1",environment="TOKEN=canary" ssh-ed25519 ${blob} ann\n${publicKey}\n`,
    );
    expect(await disk.sh('stat -c "%a %u" home/ann home/ann/.ssh home/ann/.ssh/*')).toBe(
      '755 1000\n755 0\n640 1000\n',
    );
    expect((await shadowOf('ann')).slice(1)).toEqual(['!', DAY, '0', '99999', '7', '', '', '']);
    await disk.undo(ACTION, done.job, { user: 'ann' });
    expect(await disk.look()).toBe(before);
  });

  it.each([
    ['options', 'command="rm -rf /" '],
    ['a second line', 'ssh-ed25519 AAAA\n'],
  ])('is refused when it comes with %s', async (_, prefix) => {
    publicKey = `${prefix}${publicKey}`;
    await expect(run()).rejects.toThrow('key_malformed');
  });
});
