import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../test/harness/stack.ts';

/** An sshd of our own on loopback, and how to call it with a new or a shared connection. */
export interface OpenSsh {
  /** argv up to the remote command. */
  fresh: string[];
  multiplexed: string[];
  port: number;
  keyFile: string;
  close(): Promise<void>;
}

export async function startOpenSsh(): Promise<OpenSsh> {
  const folder = mkdtempSync(path.join(tmpdir(), 'iv-ssh-'));
  const file = (name: string) => path.join(folder, name);
  for (const key of ['host', 'user']) {
    spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(key)]);
  }
  spawnSync('cp', [file('user.pub'), file('authorized')]);
  spawnSync('mkdir', ['-p', '/run/sshd']);
  const port = await freePort();
  writeFileSync(
    file('sshd_config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${file('host')}`,
      `AuthorizedKeysFile ${file('authorized')}`,
      'PermitRootLogin prohibit-password',
      'StrictModes no',
      'UsePAM no',
      'PidFile none',
      'MaxStartups 200',
      'PrintMotd no',
    ].join('\n'),
  );
  // Root's own start-up files would be measured with every command: the peer gets an empty home.
  const emptyHome = 'mount -t tmpfs tmpfs "$1" && shift && exec "$@"';
  const daemon = spawn(
    'unshare',
    [
      ...['--mount', '--propagation', 'private', 'sh', '-c', emptyHome, 'sh', homedir()],
      ...['/usr/sbin/sshd', '-D', '-e', '-f', file('sshd_config')],
    ],
    { stdio: 'ignore' },
  );
  const options = [
    '-F',
    'none',
    '-p',
    String(port),
    '-i',
    file('user'),
    '-o',
    'BatchMode=yes',
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
  ];
  const multiplexing = ['-o', `ControlPath=${file('mux')}`];
  const fresh = ['ssh', ...options, '127.0.0.1'];
  for (let tries = 0; ; tries++) {
    if (spawnSync(fresh[0]!, [...fresh.slice(1), 'true']).status === 0) break;
    if (tries > 50) throw new Error('sshd does not answer');
    await delay(100);
  }
  const master = spawn('ssh', ['-N', '-M', ...multiplexing, ...options, '127.0.0.1'], {
    stdio: 'ignore',
  });
  const multiplexed = ['ssh', ...multiplexing, ...options, '127.0.0.1'];
  for (let tries = 0; tries < 50; tries++) {
    if (spawnSync('ssh', [...multiplexing, ...options, '-O', 'check', '127.0.0.1']).status === 0) {
      break;
    }
    await delay(100);
  }
  return {
    fresh,
    multiplexed,
    port,
    keyFile: file('user'),
    close: async () => {
      for (const child of [master, daemon]) {
        const gone = once(child, 'exit');
        child.kill('SIGTERM');
        await gone;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
