import { describe, expect, it } from 'vitest';
import { itEach } from '../../../../test/fixtures/matrix.ts';
import {
  ACTION,
  disk,
  expectRepairedAndUndone,
  newPublicKey,
  stepsOf,
  useSshdDisk,
  type Parameters,
  type Repaired,
} from '../testing/ssh-repairs.ts';

useSshdDisk();

const publicKey = newPublicKey();

describe('who may log in', () => {
  itEach<[what: string, fault: Repaired]>(1, [
    [
      'a list of users that names others',
      {
        script: `echo 'AllowUsers nobodyhere' > etc/ssh/sshd_config.d/a.conf`,
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config.d/a.conf',
        expected: 'AllowUsers nobodyhere root\n',
      },
    ],
    [
      'a list of users under a Match',
      {
        script: `printf 'Match User root\\n  AllowUsers nobodyhere\\n' > etc/ssh/sshd_config.d/a.conf`,
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config.d/a.conf',
        expected: 'Match User root\n  AllowUsers nobodyhere root\n',
      },
    ],
    [
      'a denial by name',
      {
        script: `echo 'DenyUsers bob root' > etc/ssh/sshd_config.d/a.conf`,
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config.d/a.conf',
        expected: 'DenyUsers bob\n',
      },
    ],
    [
      'a list of groups',
      {
        script: `echo 'AllowGroups wheel' > etc/ssh/sshd_config.d/a.conf`,
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config.d/a.conf',
        expected: 'AllowGroups wheel root\n',
      },
    ],
    [
      'PermitRootLogin no, opened for keys alone',
      {
        script: `sed -i 's/^PermitRootLogin.*/PermitRootLogin no/' etc/ssh/sshd_config`,
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config',
        expected: /^PermitRootLogin prohibit-password$/m,
      },
    ],
    [
      'PermitRootLogin no for some, opened where it holds',
      {
        script: `printf 'Match Address 192.0.2.0/24\\n  PermitRootLogin no\\n' >> etc/ssh/sshd_config`,
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config',
        expected: /Match Address 192\.0\.2\.0\/24\n {2}PermitRootLogin prohibit-password\n$/,
      },
    ],
    [
      'no key at all, with the one of the order',
      {
        script: 'rm -r root/.ssh',
        parameters: { key: publicKey },
        steps: ['key'],
        look: 'cat root/.ssh/authorized_keys; stat -c "%a %u" root/.ssh root/.ssh/authorized_keys',
        expected: `${publicKey}\n700 0\n600 0\n`,
      },
    ],
    [
      'no key at all, and keys not taken',
      {
        script: `rm -r root/.ssh; echo 'PubkeyAuthentication no' > etc/ssh/sshd_config.d/a.conf`,
        parameters: { key: publicKey, user: 'root' },
        steps: ['configuration', 'key'],
        look: 'cat etc/ssh/sshd_config.d/a.conf',
        expected: 'PubkeyAuthentication yes\n',
      },
    ],
    [
      'keys that are looked for elsewhere',
      {
        script: `rm -r root/.ssh; echo 'AuthorizedKeysFile /etc/ssh/keys/%u' > etc/ssh/sshd_config.d/a.conf`,
        parameters: { key: publicKey },
        steps: ['key'],
        look: 'cat etc/ssh/keys/root; stat -c "%a %u" etc/ssh/keys etc/ssh/keys/root',
        expected: `${publicKey}\n755 0\n644 0\n`,
      },
    ],
    [
      'a password that is not taken, where the order allows passwords',
      {
        script: 'rm -r root/.ssh',
        parameters: { passwords: true, user: 'root' },
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config',
        expected: /^PermitRootLogin yes\nPasswordAuthentication yes$/m,
      },
    ],
    [
      'an address that is the machine alone',
      {
        script: `echo 'ListenAddress 127.0.0.1' > etc/ssh/sshd_config.d/a.conf`,
        parameters: { listenAddress: '192.0.2.7' },
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config.d/a.conf; head -n 1 etc/ssh/sshd_config',
        expected: '#ListenAddress 127.0.0.1\nListenAddress 192.0.2.7\n',
      },
    ],
    [
      'a port that is another than the order says, which is kept',
      {
        script: `echo 'Port 2022' > etc/ssh/sshd_config.d/a.conf`,
        parameters: { port: 22 },
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config.d/a.conf; head -n 1 etc/ssh/sshd_config',
        expected: 'Port 2022\nPort 22\n',
      },
    ],
  ])('is repaired where it is %s', async (_, fault) => expectRepairedAndUndone(fault));

  it('is nobody more where somebody gets in: only who is named is let in besides', async () => {
    await disk.sh(`
      mkdir home/ann/.ssh; cp root/.ssh/authorized_keys home/ann/.ssh; chown -R 1000:1000 home/ann
      sed -i 's/^PermitRootLogin.*/PermitRootLogin no/' etc/ssh/sshd_config`);
    expect(await stepsOf()).toEqual([]);
    expect(await stepsOf({ user: 'root' })).toEqual(['configuration']);
  });

  it.each<[script: string, parameters: Parameters, said: string]>([
    [`echo 'AllowUsers nobodyhere' > etc/ssh/sshd_config.d/a.conf`, {}, 'It lets root in.'],
    [`echo 'PermitRootLogin maybe' > etc/ssh/sshd_config.d/a.conf`, {}, 'It lets root in.'],
    [
      `rm -r root/.ssh; echo 'PasswordAuthentication no' > etc/ssh/sshd_config.d/a.conf`,
      { passwords: true, user: 'root' },
      'It lets root and whoever else has a password in.',
    ],
  ])('is said in the summary of the plan: %s', async (script, parameters, said) => {
    await disk.sh(script);
    const { plan } = await disk.plan(ACTION, parameters);
    expect(plan.summary).toContain(said);
  });

  it('is not named in the summary where nobody was kept out', async () => {
    await disk.sh('touch etc/nologin');
    expect((await disk.plan(ACTION)).plan.summary).toBe(
      'Restore SSH: let others than root log in.',
    );
  });

  it("is the client's key where the grant names one, and only where it is needed", async () => {
    const recipient = { credentialRecipient: { type: 'ssh' as const, publicKey } };
    expect((await disk.plan(ACTION, {}, recipient)).plan.steps).toEqual([]);
    await disk.sh('rm -r root/.ssh');
    const { plan } = await disk.plan(ACTION, {}, recipient);
    expect(plan.steps.map(({ id }) => id)).toEqual(['key', 'check']);
  });

  itEach<[what: string, script: string, parameters: Parameters, said: RegExp]>(1, [
    ['there is no key and no password', 'rm -r root/.ssh', {}, /key=.*passwords=true/],
    [
      'a pattern denies',
      `echo 'DenyUsers r*' > etc/ssh/sshd_config.d/a.conf`,
      { user: 'root' },
      /by hand/,
    ],
    [
      'it listens where nobody comes',
      `echo 'ListenAddress 127.0.0.1' > etc/ssh/sshd_config.d/a.conf`,
      {},
      /listenAddress/,
    ],
  ])('is left to a person where %s', async (_, script, parameters, said) => {
    await disk.sh(script);
    const before = await disk.look();
    const plan = disk.plan(ACTION, parameters);
    await expect(plan).rejects.toThrow('decision_needed');
    await expect(disk.plan(ACTION, parameters)).rejects.toThrow(said);
    expect(await disk.look()).toBe(before);
  });

  it('is left to a person, and the rest is repaired: the job says that it is not whole', async () => {
    await disk.sh(`rm -r root/.ssh; touch etc/nologin`);
    const done = await disk.run(ACTION);
    expect(done).toMatchObject({
      outcome: 'failed',
      reason: 'decision_needed',
      result: { outcome: 'incomplete', files: ['/etc/nologin'] },
    });
    expect((done.result['left'] as string[])[0]).toContain('root has no key');
  });
});
