import { chmod, chown, mkdir, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { names, ProbeFixture, recorded, seenBy } from '../testing/probe-fixture.ts';
import { sshAccess } from './ssh-access.ts';
import { sshService } from './ssh-service.ts';
import { sshdConfig } from './sshd-config.ts';

let system: ProbeFixture;
let keys: string;

/** Everything is asked of the real sshd, which reads this configuration and these keys. */
async function config(...lines: string[]): Promise<void> {
  await system.write('etc/ssh/sshd_config', [`HostKey ${keys}`, ...lines, ''].join('\n'));
}

beforeEach(async () => {
  system = await ProbeFixture.create();
  keys = system.path('etc/ssh/ssh_host_ed25519_key');
  await config();
  await seenBy(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', keys]);
});
afterEach(() => system.close());

describe('the configuration of sshd', () => {
  const look = () => system.look(sshdConfig);

  it('is well', async () => {
    expect(await look()).toEqual([]);
  });

  it('is refused, and the line is shown', async () => {
    await config('PermitRootLogn yes');
    expect(await look()).toMatchObject([
      { rule: 'ssh.config_bad', severity: 'critical', evidence: [{ line: 2 }] },
    ]);
  });

  it('is refused without a host key', async () => {
    await rm(keys);
    expect(names(await look())).toEqual(['ssh.hostkeys host keys']);
  });

  it('names a key that others may read', async () => {
    await seenBy(['ssh-keygen', '-q', '-t', 'ecdsa', '-N', '', '-f', `${keys}_2`]);
    await config(`HostKey ${keys}_2`);
    await chmod(`${keys}_2`, 0o644);
    expect(await look()).toMatchObject([{ rule: 'ssh.hostkeys', severity: 'warning' }]);
  });

  it('is not missed where there is no sshd', async () => {
    await rm(system.path('etc/ssh'), { recursive: true });
    await expect(look()).rejects.toThrow('not installed');
  });
});

describe('logging in over SSH', () => {
  beforeEach(async () => {
    await system.write(
      'etc/passwd',
      'root:x:0:0::/root:/bin/bash\nann:x:1234:1234::/home/ann:/bin/sh\n',
    );
    await system.write('etc/group', 'root:x:0:\nadmins:x:9:ann\n');
    await system.write('etc/shadow', 'root:*:20000::::::\nann:!:20000::::::\n');
    await system.write('home/ann/.ssh/authorized_keys', 'ssh-ed25519 AAAA ann\n', 0o600);
    for (const path of ['home/ann', 'home/ann/.ssh', 'home/ann/.ssh/authorized_keys']) {
      await chown(system.path(path), 1234, 1234);
    }
    await mkdir(system.path('root'));
  });

  /** As the agent looks at homes, with the folder above taken off the names. */
  async function look() {
    const paths = ['/root', '/home/ann', '/home/ann/.ssh', '/home/ann/.ssh/authorized_keys'];
    const seen = await seenBy([
      'stat',
      '--format',
      '%f %u %n',
      '--',
      ...paths.map((path) => system.path(path)),
    ]);
    const homes = recorded(seen.out.replaceAll(` ${system.root}/`, ' /'), 'stat');
    return system.look(sshAccess, { homes });
  }

  it('works for one who has a key', async () => {
    await config('PasswordAuthentication no');
    expect(await look()).toEqual([]);
  });

  it.each([
    ['only others are allowed', ['AllowUsers nobodyhere']],
    ['she is refused', ['DenyUsers a*']],
    ['only another group is allowed', ['AllowGroups wheel']],
    ['keys are not taken', ['PubkeyAuthentication no']],
  ])('works for nobody when %s', async (_, lines) => {
    await config('PasswordAuthentication no', 'KbdInteractiveAuthentication no', ...lines);
    expect(names(await look())).toEqual(['ssh.unreachable_policy sshd']);
  });

  it('works for members of a group that is allowed', async () => {
    await config('AllowGroups adm?ns');
    expect(await look()).toEqual([]);
  });

  it('works with a password only where passwords are taken', async () => {
    await rm(system.path('home/ann/.ssh'), { recursive: true });
    await system.write('etc/shadow', 'root:$y$x$y$z:20000::::::\nann:!:20000::::::\n');
    await config('PermitRootLogin yes', 'PasswordAuthentication yes');
    expect(await look()).toEqual([]);
    await config('PermitRootLogin prohibit-password', 'PasswordAuthentication yes');
    expect(names(await look())).toEqual(['ssh.unreachable_policy sshd']);
  });

  it.each(['home/ann', 'home/ann/.ssh', 'home/ann/.ssh/authorized_keys'])(
    'is refused when others may write %s',
    async (path) => {
      await chmod(system.path(path), 0o777);
      const found = await look();
      expect(names(found)).toEqual(['ssh.strictmodes ann', 'ssh.unreachable_policy sshd']);
      expect(JSON.stringify(found[0]!.evidence)).toContain(`/${path}: mode 0777`);
      await config('StrictModes no');
      expect(await look()).toEqual([]);
    },
  );

  it('is refused when the keys belong to another', async () => {
    await chown(system.path('home/ann/.ssh/authorized_keys'), 4321, 0);
    expect(names(await look())).toContain('ssh.strictmodes ann');
  });

  it('is for root alone while /etc/nologin is there', async () => {
    await system.write('etc/nologin', 'maintenance\n');
    expect(names(await look())).toEqual(['ssh.nologin /etc/nologin']);
  });
});

describe('the service of SSH', () => {
  const UNIT = 'lib/systemd/system/ssh.service';
  const WANTS = 'etc/systemd/system/multi-user.target.wants/ssh.service';

  /** A real socket on a port of its own, in the tables of this machine. */
  async function look(address: string | null) {
    const server = createServer();
    server.listen(0, address ?? '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await config(`Port ${port}`);
    if (address === null) {
      server.close();
      await once(server, 'close');
    }
    const listening = await seenBy(['cat', '/proc/net/tcp', '/proc/net/tcp6']);
    server.close();
    return system.look(sshService, { listening });
  }

  beforeEach(async () => {
    await system.write(UNIT, '[Service]\n');
    await system.write(WANTS, '');
  });

  it.each(['0.0.0.0', '::'])('is well when it listens at %s and is enabled', async (address) => {
    expect(await look(address)).toEqual([]);
  });

  it.each([
    ['nothing', null, 'Nothing answers'],
    ['only the server itself', '127.0.0.1', 'on the server itself only'],
  ])('is down when %s is reached', async (_, address, title) => {
    const [found] = await look(address);
    expect(found).toMatchObject({ rule: 'ssh.not_listening', severity: 'critical' });
    expect(found!.title).toContain(title);
  });

  it('does not come back when it is not enabled', async () => {
    await rm(system.path(WANTS));
    expect(await look('0.0.0.0')).toMatchObject([{ rule: 'ssh.unit_off', severity: 'warning' }]);
  });

  it('does not come back when it is masked', async () => {
    await symlink('/dev/null', system.path('etc/systemd/system/ssh.service'));
    const [found] = await look('0.0.0.0');
    expect(found!.title).toContain('masked');
  });

  it('comes back by its socket', async () => {
    await rm(system.path(WANTS));
    await system.write('etc/systemd/system/sockets.target.wants/ssh.socket', '');
    expect(await look('0.0.0.0')).toEqual([]);
  });

  it('comes back on the ports of its socket, whatever its configuration says', async () => {
    await rm(system.path(WANTS));
    await system.write('lib/systemd/system/ssh.socket', '[Socket]\nListenStream=22\n');
    await system.write('etc/systemd/system/sockets.target.wants/ssh.socket', '');
    const [found] = await look('0.0.0.0');
    expect(found).toMatchObject({ rule: 'ssh.socket_port', subject: 'ssh.socket' });
    await system.write(
      'usr/lib/systemd/system-generators/sshd-socket-generator',
      'makes them the same',
    );
    expect(await look('0.0.0.0')).toEqual([]);
  });

  it('is not missed where only its socket is masked', async () => {
    await symlink('/dev/null', system.path('etc/systemd/system/ssh.socket'));
    expect(await look('0.0.0.0')).toEqual([]);
  });
});
