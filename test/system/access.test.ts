import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ResetPasswordResult, RestoreSshResult } from '../../proto/actions/access.ts';
import { OptedInServer } from '../harness/opted-in-server.ts';
import { Daemon, eventually, must, run } from '../harness/process.ts';
import { endOf, words, type Ended, type Parameters } from '../harness/service-orders.ts';
import type { Plan } from '../../proto/documents/kinds/plan.ts';

let server: OptedInServer;
let folder: string;
let publicKey: string;
const sh = (script: string) => server.debian.ok(['sh', '-ec', script]);
const file = (name: string) => path.join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'iv-access-'));
  for (const name of ['id', 'other']) {
    await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file(name)]);
  }
  publicKey = readFileSync(file('id.pub'), 'utf8').trim();
  server = await OptedInServer.start();
  const { stack } = server;
  await stack.authorize('access.reset-password');
  await stack.authorize('access.restore-ssh', '--ticket', 'T-2');
  await stack.authorize('access.restore-ssh', '--limit', `key=${publicKey}`);
  await sh(`
    useradd --create-home --shell /bin/bash ann; useradd --create-home --shell /bin/bash bob
    mkdir -p /root/.ssh; chmod 700 /root/.ssh; systemctl is-active ssh || systemctl start ssh`);
  await server.debian.write('/root/.ssh/authorized_keys', `${publicKey}\n`, '0600');
}, 600_000);
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function plan(
  action: string,
  parameters: Parameters,
): Promise<{ plan: Plan; planDigest: string }> {
  return server.stack.json('lead', 'plan', 'web-04', action, ...words(parameters));
}

async function order<R>(action: string, parameters: Parameters = {}): Promise<Ended<R>> {
  const { planDigest } = await plan(action, parameters);
  return apply(action, planDigest);
}

async function apply<R>(action: string, digest: string): Promise<Ended<R>> {
  return endOf<R>(
    await server.stack.cli('lead', '--json', 'run', 'web-04', action, '--plan', digest, '--yes'),
  );
}

const undo = async (job: string) =>
  endOf(await server.stack.cli('lead', '--json', 'jobs', 'undo', job, '--yes'));

/** The argv of a real ssh into the server, from beside it. */
function ssh(user: string, options: readonly string[], command: string): string[] {
  return [
    ...server.debian.inItsNetwork,
    ...['ssh', '-F', '/dev/null', '-o', 'StrictHostKeyChecking=no'],
    ...['-o', 'UserKnownHostsFile=/dev/null', '-o', 'ConnectTimeout=20', ...options],
    `${user}@127.0.0.1`,
    command,
  ];
}

const byKey = (user: string, key = 'id') =>
  run(ssh(user, ['-i', file(key), '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes'], 'id -un'));

/** With a password, as a person would type it. */
async function byPassword(user: string, password: string) {
  writeFileSync(file('typed'), `${password}\n`, { mode: 0o600 });
  writeFileSync(file('askpass'), `#!/bin/sh\ncat ${file('typed')}\n`);
  chmodSync(file('askpass'), 0o700);
  const options = ['PubkeyAuthentication=no', 'NumberOfPasswordPrompts=1'];
  return run(
    ssh(
      user,
      options.flatMap((option) => ['-o', option]),
      'id -un',
    ),
    {
      env: { ...process.env, SSH_ASKPASS: file('askpass'), SSH_ASKPASS_REQUIRE: 'force' },
    },
  );
}

/** As somebody who is nobody, through PAM. */
const bySu = (user: string, password: string) =>
  server.debian.exec(['runuser', '-u', 'nobody', '--', 'su', user, '-c', 'id -un'], {
    input: `${password}\n`,
  });

/** What a job made, as the client opens it. */
async function opened(id: string): Promise<string> {
  const { stack } = server;
  const { name } = await stack.ended(id);
  const written = file(`password-${id}`);
  await stack.ok('carol', 'credentials', 'open', name, '--output', written, '--yes');
  return readFileSync(written, 'utf8');
}

const accountFiles = () =>
  sh(
    `cd /etc; stat -c '%n %a %u %g %s %y' passwd shadow; sha256sum passwd shadow; lsattr passwd shadow`,
  );

describe('access.reset-password', () => {
  it('gives root a password that logs in; undo takes it away again', async () => {
    const before = await accountFiles();
    const done = await order<ResetPasswordResult>('access.reset-password');
    expect(done, done.said).toMatchObject({ status: 0, result: { outcome: 'password_set' } });
    const password = await opened(done.job);
    expect((await bySu('root', password)).stdout).toBe('root\n');
    expect((await bySu('root', `${password}x`)).status).not.toBe(0);
    expect(await undo(done.job)).toMatchObject({ status: 0, result: { outcome: 'restored' } });
    expect(await accountFiles()).toBe(before);
    expect((await bySu('root', password)).status).not.toBe(0);
  });

  it('lets in, over SSH, who was locked, expired and without a shell, although the file is immutable', async () => {
    await sh('usermod --lock --expiredate 1 --shell /bin/zsh ann; chattr +i /etc/shadow');
    try {
      const before = await accountFiles();
      const done = await order<ResetPasswordResult>('access.reset-password', { user: 'ann' });
      expect(done, done.said).toMatchObject({
        status: 0,
        result: { outcome: 'password_set', method: 'yescrypt', user: 'ann' },
      });
      const password = await opened(done.job);
      const logged = await byPassword('ann', password);
      expect(logged.stdout, logged.stderr).toBe('ann\n');
      expect(await sh('lsattr /etc/shadow')).toMatch(/^\S*i/);
      await undo(done.job);
      expect(await accountFiles()).toBe(before);
      expect((await byPassword('ann', password)).status).not.toBe(0);
    } finally {
      await sh('chattr -i /etc/shadow; usermod --expiredate "" --shell /bin/bash ann');
    }
  });

  it('lets the key in that the grant names instead, and makes no password', async () => {
    const { stack } = server;
    await stack.revokeAll();
    await stack.authorize('access.reset-password', '--ssh-key-file', file('other.pub'));
    expect((await byKey('bob', 'other')).status).not.toBe(0);
    const before = await sh(
      'find /home/bob | sort | xargs stat -c "%n %a %u %g %s"; cat /etc/shadow',
    );
    const done = await order<ResetPasswordResult>('access.reset-password', { user: 'bob' });
    expect(done, done.said).toMatchObject({ status: 0, result: { outcome: 'key_installed' } });
    expect(await byKey('bob', 'other')).toMatchObject({ status: 0, stdout: 'bob\n' });
    const again = await plan('access.reset-password', { user: 'bob' });
    expect(again.plan.steps).toEqual([]);
    await undo(done.job);
    expect(
      await sh('find /home/bob | sort | xargs stat -c "%n %a %u %g %s"; cat /etc/shadow'),
    ).toBe(before);
    expect((await byKey('bob', 'other')).status).not.toBe(0);
    await stack.revokeAll();
    await stack.authorize('access.restore-ssh', '--ticket', 'T-2');
    await stack.authorize('access.restore-ssh', '--limit', `key=${publicKey}`);
  });
});

describe('access.restore-ssh', () => {
  const setUp = () =>
    sh(`cd /etc; find ssh systemd/system passwd ! -type l ! -type d -printf '%p %m %U %G %s %T@\\n' | sort
      find ssh systemd/system -type l -printf '%p %l\\n' | sort; find ssh -type f | sort | xargs sha256sum
      stat -c '%n %a %u %g' /root /root/.ssh /root/.ssh/*; ls nologin 2>&1 | cat; systemctl is-active ssh | cat`);
  const restore = (parameters: Parameters = {}) =>
    order<RestoreSshResult>('access.restore-ssh', parameters);

  it('finds nothing to do where people log in', async () => {
    expect(await byKey('root')).toMatchObject({ status: 0, stdout: 'root\n' });
    expect((await plan('access.restore-ssh', {})).plan.steps).toEqual([]);
  });

  it('brings a login back where all is broken at once, and undo brings back what was', async () => {
    await sh(`
      systemctl stop ssh; systemctl disable ssh; ln -s /dev/null /etc/systemd/system/ssh.service
      echo 'PermitRootLogn yes' >> /etc/ssh/sshd_config; rm /etc/ssh/ssh_host_*
      sed -i '/^sshd:/d' /etc/passwd /etc/shadow; chmod 777 /root /root/.ssh; touch /etc/nologin
      echo 'AllowUsers nobodyhere' > /etc/ssh/sshd_config.d/a.conf; systemctl daemon-reload`);
    const before = await setUp();
    expect((await byKey('root')).status).toBe(255);
    const done = await restore();
    expect(done, done.said).toMatchObject({
      status: 0,
      result: { outcome: 'repaired', answersAt: '127.0.0.1 port 22', left: [] },
    });
    expect(await byKey('root')).toMatchObject({ status: 0, stdout: 'root\n' });
    const known = await must([
      ...server.debian.inItsNetwork,
      'ssh-keyscan',
      '-t',
      'ed25519',
      '127.0.0.1',
    ]);
    writeFileSync(file('scanned'), known);
    const print = await must(['ssh-keygen', '-l', '-f', file('scanned')]);
    expect(done.result.newHostKeys.map(({ fingerprint }) => fingerprint)).toContain(
      print.split(' ')[1],
    );
    expect((await plan('access.restore-ssh', {})).plan.steps).toEqual([]);
    expect(await undo(done.job)).toMatchObject({ status: 0 });
    expect(await setUp()).toBe(before);
    expect((await byKey('root')).status).toBe(255);
    const again = await restore();
    expect(again.status, again.said).toBe(0);
    expect(await byKey('root')).toMatchObject({ status: 0, stdout: 'root\n' });
  });

  it('ends no session that is open, neither when it repairs nor when it is taken back', async () => {
    const session = new Daemon(
      ssh('root', ['-i', file('id'), '-o', 'IdentitiesOnly=yes'], 'echo in; exec sleep 1000'),
      file('session.log'),
    );
    session.start();
    try {
      const isIn = () => readFileSync(file('session.log'), 'utf8').includes('in');
      await eventually('the session is there', () => Promise.resolve(isIn()));
      await server.debian.write('/etc/ssh/sshd_config.d/b.conf', 'Frobnicate yes\n');
      const done = await restore();
      expect(done, done.said).toMatchObject({
        status: 0,
        result: { files: ['/etc/ssh/sshd_config.d/b.conf'] },
      });
      expect(await byKey('root')).toMatchObject({ status: 0 });
      const taken = await undo(done.job);
      // What sshd finds fault with is not loaded: it goes on with what it has.
      expect(taken.said).toContain('left as it runs');
      expect(await byKey('root')).toMatchObject({ status: 0 });
      process.kill(session.pid, 0);
      expect(await sh('pgrep -xc sleep')).toBe('1\n');
    } finally {
      await session.end('SIGTERM');
      await sh('rm /etc/ssh/sshd_config.d/b.conf');
    }
  });

  it('puts files and daemon back when sshd does not answer where it should', async () => {
    await sh(`
      systemd-run --unit=taker --quiet perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "0.0.0.0:2222"); sleep 1000'
      rm -f /etc/nologin`);
    await eventually('the port is taken', () =>
      sh('ss -Hltn sport = :2222 | grep -q 2222').then(() => true),
    );
    const before = await setUp();
    const done = await restore({ port: 2222 });
    expect(done, done.said).toMatchObject({
      status: 1,
      reason: 'verify_failed',
      result: { outcome: 'rolled_back', files: [] },
    });
    expect(await setUp()).toBe(before);
    expect(await byKey('root')).toMatchObject({ status: 0, stdout: 'root\n' });
    await sh('systemctl stop taker');
    const again = await restore({ port: 2222 });
    expect(again, again.said).toMatchObject({
      status: 0,
      result: { answersAt: '127.0.0.1 port 2222' },
    });
    await undo(again.job);
    expect(await setUp()).toBe(before);
  });

  it('lets in only the key that the grant names', async () => {
    await sh('rm -r /root/.ssh; sed -i "s/^root:[^:]*:/root:*:/" /etc/shadow');
    const other = readFileSync(file('other.pub'), 'utf8').trim();
    const refused = await server.stack.cli(
      'lead',
      'plan',
      'web-04',
      'access.restore-ssh',
      ...words({ key: other }),
    );
    expect([refused.status, refused.stderr]).toEqual([
      3,
      expect.stringContaining('does not allow these parameters'),
    ]);
    const done = await restore({ key: publicKey });
    expect(done, done.said).toMatchObject({ status: 0 });
    expect(await byKey('root')).toMatchObject({ status: 0, stdout: 'root\n' });
  });

  it('starts an sshd that only does not run', async () => {
    await sh('systemctl stop ssh');
    const { plan: made } = await plan('access.restore-ssh', {});
    expect(made.steps.map(({ id }) => id)).toEqual(['check', 'start', 'verify']);
    const done = await restore();
    expect(done, done.said).toMatchObject({ status: 0, result: { files: [] } });
    expect(await byKey('root')).toMatchObject({ status: 0 });
  });
});
