import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { itEach } from '../../../../test/fixtures/matrix.ts';
import {
  ACTION,
  disk,
  expectRepairedAndUndone,
  stepsOf,
  useSshdDisk,
  type Repaired,
} from '../testing/ssh-repairs.ts';

useSshdDisk();

it('SSH that is well is left as it is', async () => {
  const bytes = readFileSync(disk.image);
  const { plan, bytes: first } = await disk.plan(ACTION);
  expect(plan).toMatchObject({ steps: [], findings: [] });
  expect(plan.summary).toContain('Nothing to do');
  expect((await disk.plan(ACTION)).bytes).toBe(first);
  expect(readFileSync(disk.image).equals(bytes)).toBe(true);
  expect(await disk.run(ACTION)).toMatchObject({ result: { outcome: 'nothing_to_do' } });
});

describe('the configuration', () => {
  it('gets a mistyped keyword written right, and says where', async () => {
    await disk.sh(`sed -i 's/^PermitRootLogin.*/PermitRootLogn no/' etc/ssh/sshd_config`);
    const { plan } = await disk.plan(ACTION, { user: 'root' });
    expect(plan.findings[0]).toMatch(
      /^line 4 of \/etc\/ssh\/sshd_config: Bad configuration option: PermitRootLogn\. It becomes: PermitRootLogin no$/,
    );
  });

  it.each([
    ['a wrong value', 'PasswordAuthentication maybe', 'PasswordAuthentication no'],
    ['a mistyped one with a wrong value', 'AllowTcpForwrding maybe', 'AllowTcpForwarding no'],
    ['a pattern', 'AllowUsers root ann@10.0.0.0/99 bob@10.0.0.0/98', 'AllowUsers root'],
    ['the only pattern', 'AllowUsers ann@10.0.0.0/99', 'AllowUsers !* root'],
    ['a pattern of a denial', 'DenyUsers bob ann@10.0.0.0/99', 'DenyUsers bob'],
    ['one under a Match', 'Match User ann\n  PermitOpen what', 'Match User ann\n  PermitOpen none'],
  ])('gets the strictest value where the default lets in more: %s', async (_, wrong, right) => {
    await expectRepairedAndUndone({
      script: `echo '${wrong}' > etc/ssh/sshd_config.d/00.conf`,
      steps: ['configuration'],
      look: 'cat etc/ssh/sshd_config.d/00.conf',
      expected: `${right}\n`,
    });
  });

  it('takes passwords by default where the order asks for them', async () => {
    await expectRepairedAndUndone({
      script: `echo 'PasswordAuthentication maybe' > etc/ssh/sshd_config.d/00.conf`,
      parameters: { passwords: true },
      steps: ['configuration'],
      look: 'cat etc/ssh/sshd_config.d/00.conf',
      expected: '#PasswordAuthentication maybe\n',
    });
  });

  itEach<[what: string, fault: Repaired]>(1, [
    [
      'a line that sshd does not know made a comment',
      {
        script: `echo 'Frobnicate yes' > etc/ssh/sshd_config.d/zz.conf`,
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config.d/zz.conf',
        expected: /^#Frobnicate yes\n$/,
      },
    ],
    [
      'several wrong lines in several files mended at once, and nothing else touched',
      {
        script: `printf 'Prot 22\\nX11Forwarding maybe\\nCiphers none-such\\nPasswordAuthenticaton no\\n' > etc/ssh/sshd_config.d/00.conf
          printf 'Banner none\\r\\nMatch Usr bob\\n  X11Forwarding no\\nMatch User bob\\n  X11Forwarding no\\n' > etc/ssh/sshd_config.d/zz.conf`,
        steps: ['configuration'],
        look: 'cat etc/ssh/sshd_config.d/00.conf etc/ssh/sshd_config.d/zz.conf',
        expected:
          /^#Prot 22\n#X11Forwarding maybe\n#Ciphers none-such\nPasswordAuthentication no\nBanner none\r\n#Match Usr bob\n# {2}X11Forwarding no\nMatch User bob\n {2}X11Forwarding no\n$/,
      },
    ],
  ])('gets %s', async (_, fault) => expectRepairedAndUndone(fault));

  it('keeps what is no text byte for byte', async () => {
    await expectRepairedAndUndone({
      script: `printf '# caf\\351 \\377\\nFoo bar' > etc/ssh/sshd_config.d/zz.conf`,
      steps: ['configuration'],
      look: 'od -An -tx1 etc/ssh/sshd_config.d/zz.conf',
      expected: /23 20 63 61 66 e9 20 ff 0a 23 46 6f 6f/,
    });
  });
});

describe('host keys', () => {
  it('are made where there are none, and their fingerprints told', async () => {
    await disk.sh('rm etc/ssh/ssh_host_*');
    const before = await disk.look();
    const { plan } = await disk.plan(ACTION);
    expect(JSON.stringify(plan)).not.toContain('PRIVATE KEY');
    const done = await disk.run(ACTION);
    expect(done).toMatchObject({ outcome: 'succeeded', result: { outcome: 'repaired' } });
    const keys = done.result['newHostKeys'] as {
      path: string;
      type: string;
      fingerprint: string;
    }[];
    expect(keys.map(({ type }) => type)).toEqual(['ed25519', 'ecdsa']);
    for (const { path, fingerprint } of keys) {
      expect(await disk.sh(`ssh-keygen -l -f .${path}`)).toContain(fingerprint);
      expect(await disk.sh(`stat -c '%a %u:%g' .${path} .${path}.pub`)).toBe('600 0:0\n644 0:0\n');
    }
    for (const { path, text } of disk.leftBehind()) {
      expect(text.includes('PRIVATE KEY'), path).toBe(false);
    }
    expect(await stepsOf()).toEqual([]);
    await disk.undo(ACTION, done.job);
    expect(await disk.look()).toBe(before);
  });

  itEach<[what: string, fault: Repaired]>(1, [
    [
      'replaced where a crash left them empty',
      {
        script: ': > etc/ssh/ssh_host_ed25519_key; echo x > etc/ssh/ssh_host_ecdsa_key',
        steps: ['host-keys'],
        look: 'head -n 1 etc/ssh/ssh_host_*_key',
        expected: /BEGIN OPENSSH[^]*BEGIN OPENSSH/,
      },
    ],
    [
      'kept from the eyes of others again, one of them',
      {
        script: 'chmod 644 etc/ssh/ssh_host_ecdsa_key',
        steps: ['host-keys'],
        look: 'stat -c %a etc/ssh/ssh_host_ecdsa_key etc/ssh/ssh_host_ed25519_key',
        expected: '600\n600\n',
      },
    ],
    [
      'kept from the eyes of others again, all of them',
      {
        script: 'chmod 666 etc/ssh/ssh_host_*_key',
        steps: ['host-keys'],
        look: 'stat -c %a etc/ssh/ssh_host_ecdsa_key etc/ssh/ssh_host_ed25519_key',
        expected: '600\n600\n',
      },
    ],
  ])('are %s', async (_, fault) => expectRepairedAndUndone(fault));

  it('are left alone where one that works is there', async () => {
    await disk.sh('rm etc/ssh/ssh_host_ecdsa_key');
    expect(await stepsOf()).toEqual([]);
  });

  it('are used where they are symlinks, and never made over one', async () => {
    await disk.sh('for k in etc/ssh/*_key; do mv $k root; ln -s /root/${k##*/} $k; done');
    expect(await stepsOf()).toEqual([]);
    await disk.sh('rm root/*_key');
    await expect(disk.plan(ACTION)).rejects.toThrow('not_a_plain_file');
  });
});

describe('what sshd needs beside', () => {
  itEach<[what: string, fault: Repaired]>(1, [
    [
      'the user it gives up its powers to, made',
      {
        script: `sed -i '/^sshd:/d' etc/passwd etc/shadow`,
        steps: ['separation'],
        look: 'grep -h ^sshd etc/passwd etc/shadow',
        expected: 'sshd:x:999:65534::/run/sshd:/usr/sbin/nologin\nsshd:!:::::::\n',
      },
    ],
    [
      'the folder it gives up its powers in, kept from others',
      {
        script: 'mkdir -p var/empty/sshd; chmod 777 var/empty/sshd; chown 1000 var/empty/sshd',
        steps: ['separation'],
        look: 'stat -c "%a %u" var/empty/sshd',
        expected: '755 0\n',
      },
    ],
    [
      'its unit without a mask, and started with the system',
      {
        script:
          'rm etc/systemd/system/*/ssh.service etc/systemd/system/sshd.service; ln -s /dev/null etc/systemd/system/ssh.service',
        steps: ['unit'],
        look: 'test ! -L etc/systemd/system/ssh.service; readlink etc/systemd/system/multi-user.target.wants/ssh.service etc/systemd/system/sshd.service',
        expected: /^(\/lib\/systemd\/system\/ssh\.service\n){2}$/,
      },
    ],
    [
      'its unit started with the system, where a folder is missing',
      {
        script: 'rm -r etc/systemd/system/*',
        steps: ['unit'],
        look: 'readlink etc/systemd/system/multi-user.target.wants/ssh.service',
        expected: '/lib/systemd/system/ssh.service\n',
      },
    ],
    [
      'its alias without a mask',
      {
        script: 'ln -sfn /dev/null etc/systemd/system/sshd.service',
        steps: ['unit'],
        look: 'ls etc/systemd/system',
        expected: 'multi-user.target.wants\n',
      },
    ],
    [
      'nobody kept out by /etc/nologin',
      {
        script: 'echo maintenance > etc/nologin',
        steps: ['nologin'],
        look: 'ls etc/nologin 2>&1 | cat',
        expected: /No such file/,
      },
    ],
    [
      'folders that people can pass through',
      {
        script: 'chmod 700 . etc; chmod 777 etc/ssh; chmod 755 tmp; chmod 600 etc/passwd',
        steps: ['paths'],
        look: 'stat -c %a . etc etc/ssh tmp etc/passwd',
        expected: '755\n755\n775\n1777\n644\n',
      },
    ],
    [
      'keys that others cannot change',
      {
        script: `mkdir -p home/ann/.ssh; cp root/.ssh/authorized_keys home/ann/.ssh; chown -R 1000:1000 home/ann
          chmod 777 root home/ann/.ssh; chmod 666 root/.ssh/authorized_keys; chown 33 root/.ssh`,
        steps: ['key-modes'],
        look: 'stat -c "%a %u" root root/.ssh root/.ssh/authorized_keys home/ann/.ssh',
        expected: '755 0\n700 0\n644 0\n755 1000\n',
      },
    ],
  ])('is %s', async (_, fault) => expectRepairedAndUndone(fault));

  it('is everything at once, and one plan repairs it all', async () => {
    await expectRepairedAndUndone({
      script: `chmod 777 . etc/ssh root root/.ssh; chmod 646 etc/passwd; echo 'Foo bar' >> etc/ssh/sshd_config
        chmod 602 etc/ssh/sshd_config; rm etc/ssh/ssh_host_*; sed -i '/^sshd:/d' etc/passwd; touch etc/nologin
        echo 'AllowUsers nobodyhere' > etc/ssh/sshd_config.d/a.conf; ln -sfn /dev/null etc/systemd/system/ssh.service`,
      steps: ['paths', 'separation', 'configuration', 'host-keys', 'unit', 'key-modes', 'nologin'],
      look: 'cat etc/ssh/sshd_config.d/a.conf; stat -c %a etc/passwd etc/ssh/sshd_config',
      expected: 'AllowUsers nobodyhere root\n644\n600\n',
    });
  });

  it('says so when more than SSH is damaged', async () => {
    await disk.sh(
      'for n in 1 2 3 4 5 6 7 8 9 10; do touch etc/f$n; done; chmod -R 777 etc; chmod 600 etc/ssh/*_key',
    );
    const { plan } = await disk.plan(ACTION);
    expect(plan.findings.join(' ')).toContain('more than SSH is damaged');
    const touched = JSON.stringify(plan.steps);
    expect(touched).not.toContain('etc/f1');
    expect(touched).not.toContain('shells');
  });
});

describe('a plan of it', () => {
  it('is not carried out once something has changed', async () => {
    await disk.sh(`echo 'Foo bar' > etc/ssh/sshd_config.d/zz.conf`);
    const { bytes } = await disk.plan(ACTION);
    await disk.sh(`echo 'Foo baz' > etc/ssh/sshd_config.d/zz.conf`);
    const before = await disk.look();
    expect(await disk.apply(ACTION, bytes)).toMatchObject({ reason: 'changed_since_plan' });
    expect(await disk.look()).toBe(before);
  });

  itEach<[what: string, script: string, reason: string | RegExp]>(2, [
    ['there is no sshd', 'rm usr/sbin/sshd', 'sshd_missing'],
    ['there is no configuration', 'rm etc/ssh/sshd_config', 'sshd_missing'],
    [
      'the configuration is a pipe',
      'rm etc/ssh/sshd_config; mkfifo etc/ssh/sshd_config',
      'sshd_missing',
    ],
    ['sshd is no program', 'echo nonsense > usr/sbin/sshd', /sshd_missing|config_beyond_repair/],
    ['/etc/passwd is missing', 'rm etc/passwd', 'accounts_broken'],
    ['/etc/ssh is a symlink', 'mv etc/ssh etc/real; ln -s real etc/ssh', 'target_hostile'],
    [
      'the wrong line lies behind a symlink',
      `echo 'Foo bar' > root/x; ln -s ../../../root/x etc/ssh/sshd_config.d/x.conf`,
      'not_a_plain_file',
    ],
  ])('is not made where %s', async (_, script, reason) => {
    await disk.sh(script);
    const before = await disk.look();
    await expect(disk.plan(ACTION)).rejects.toThrow(reason);
    expect(await disk.look()).toBe(before);
  });
});
describe('paths in the configuration of a hostile disk', () => {
  const UP = '../'.repeat(24);

  it.each([
    ['an Include of a device of this machine', (at: string) => `Include /etc/ssh/${UP}${at}`],
    ['an Include from the folder of sshd', (at: string) => `Include ${UP}${at}`],
    ['a host key', (at: string) => `HostKey /etc/ssh/${UP}${at}`],
    ['an Include from elsewhere', (at: string) => `Include /usr/${UP}${at}`],
  ])('lead to nothing of this machine: %s', async (_, line) => {
    const own = mkdtempSync('/dev/iv-hostile-');
    const theirs = join(own, 'theirs');
    writeFileSync(theirs, 'what is here already');
    const at = theirs.slice(1);
    try {
      await disk.sh(`mkdir -p $(dirname ./${at}); echo '# OWNED' > ./${at}
        echo '${line(at)}' >> etc/ssh/sshd_config`);
      const { plan } = await disk.plan(ACTION, {});
      expect(plan.action).toBe(ACTION);
      expect(readFileSync(theirs, 'utf8')).toBe('what is here already');
    } finally {
      rmSync(own, { recursive: true });
    }
  });
});
