import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import type { FaultDisk } from '../fault-disk.ts';
import type { MountedSystem } from '../mounted-system.ts';
import type { Fault, RepairedFault } from './fault.ts';

/** Something that keeps people from logging in over SSH. */
function access(
  fault: Pick<RepairedFault, 'id' | 'title' | 'finding' | 'inject' | 'check'> &
    Partial<RepairedFault>,
): RepairedFault {
  return {
    proof: 'repair',
    disk: 'bios-gpt',
    action: 'access.restore-ssh',
    undo: 'files',
    ...fault,
  };
}

/** `sshd -t` or `sshd -T` with the folder that its unit would make. */
async function sshd(system: MountedSystem, ...words: string[]): Promise<string> {
  await system.ok(['mkdir', '--mode=755', '/run/sshd']);
  const { status, stdout, stderr } = await system.inside(['/usr/sbin/sshd', ...words]);
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /UNPROTECTED PRIVATE KEY/);
  return stdout;
}

const requireSoundSshd = (disk: FaultDisk) =>
  disk.look(async (system) => void (await sshd(system, '-t')));

/** What holds for a login of root from outside. */
const settingsForRoot = (system: MountedSystem) =>
  sshd(system, '-T', '-C', 'user=root,host=client.example,addr=198.51.100.7');

const KEY =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ carol\n';

const append = (file: string, text: string) => (disk: FaultDisk) =>
  disk.inside((system) => system.edit(file, (before) => before + text));

export const sshFaults: readonly Fault[] = [
  access({
    id: 'R01',
    title: 'sshd_config holds a directive that does not exist',
    finding: 'ssh.config_bad',
    inject: append('etc/ssh/sshd_config', 'PermitRootLogn yes\n'),
    check: requireSoundSshd,
  }),
  access({
    id: 'R02',
    title: 'the host keys are gone',
    makesNew: true,
    finding: 'ssh.hostkeys',
    inject: (disk) =>
      disk.inside((system) => {
        const folder = system.path('etc/ssh');
        const keys = readdirSync(folder).filter((name) => name.startsWith('ssh_host_'));
        for (const name of keys) rmSync(`${folder}/${name}`);
      }),
    check: requireSoundSshd,
  }),
  access({
    id: 'R03',
    title: 'a host key may be read by everybody',
    finding: 'ssh.hostkeys',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.ok(['chmod', '644', '/etc/ssh/ssh_host_ed25519_key']);
      }),
    check: requireSoundSshd,
  }),
  access({
    id: 'R04',
    title: 'the account sshd gives its powers up to is missing',
    finding: 'ssh.config_bad',
    inject: (disk) =>
      disk.inside((system) => system.edit('etc/passwd', (text) => text.replace(/^sshd:.*\n/m, ''))),
    check: requireSoundSshd,
  }),
  access({
    id: 'R05',
    title: 'ssh.service is masked',
    finding: 'ssh.unit_off',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.hostOk(['systemctl', '--root=R', 'mask', 'ssh.service']);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const { stdout } = await system.host(['systemctl', '--root=R', 'is-enabled', 'ssh']);
        assert.equal(stdout, 'enabled\n');
      }),
  }),
  access({
    id: 'R06',
    title: 'sshd listens on an address that the server does not have',
    // The addresses of a system that does not run are the client's to tell.
    finding: null,
    parameters: { listenAddress: '10.0.2.15' },
    inject: append('etc/ssh/sshd_config', 'ListenAddress 10.9.9.9\n'),
    check: (disk) =>
      disk.look(async (system) => {
        const settings = await sshd(system, '-T');
        assert.match(settings, /^listenaddress (0\.0\.0\.0|10\.0\.2\.15):22$/m);
      }),
  }),
  access({
    id: 'R07',
    title: 'only users that do not exist may log in',
    finding: 'ssh.unreachable_policy',
    parameters: { user: 'root', passwords: true },
    inject: (disk) =>
      disk.inside((system) =>
        system.write('etc/ssh/sshd_config.d/10-users.conf', 'AllowUsers nobodyhere\n'),
      ),
    check: (disk) =>
      disk.look(async (system) => {
        const settings = await settingsForRoot(system);
        const allowed = [...settings.matchAll(/^allowusers (.*)$/gm)].map(([, name]) => name);
        assert.ok(allowed.length === 0 || allowed.includes('root'), allowed.join());
      }),
  }),
  access({
    id: 'R08',
    title: 'logins need a key and nobody has one',
    finding: 'ssh.unreachable_policy',
    parameters: { user: 'root', key: KEY.trim() },
    inject: (disk) =>
      disk.inside((system) =>
        system.write('etc/ssh/sshd_config.d/50-cloud-init.conf', 'PasswordAuthentication no\n'),
      ),
    check: (disk) =>
      disk.look(async (system) => {
        const settings = await settingsForRoot(system);
        assert.match(settings, /^permitrootlogin (yes|without-password|prohibit-password)$/m);
        if (/^passwordauthentication yes$/m.test(settings)) return;
        const keys = ['ssh-keygen', '-l', '-f', '/root/.ssh/authorized_keys'];
        assert.match(await system.ok(keys), /ED25519/);
      }),
  }),
  access({
    id: 'R09',
    title: 'the home of the user may be written by others',
    finding: 'ssh.strictmodes',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.ok(['install', '-d', '-m', '700', '-o', 'carol', '/home/carol/.ssh']);
        system.write('home/carol/.ssh/authorized_keys', KEY, 0o600);
        await system.ok(['chown', '-R', 'carol:carol', '/home/carol/.ssh']);
        await system.ok(['chmod', '777', '/home/carol', '/home/carol/.ssh']);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const paths = ['/home/carol', '/home/carol/.ssh'];
        const modes = await system.ok(['stat', '-c', '%A', ...paths]);
        for (const mode of modes.trim().split('\n')) assert.match(mode, /^d....-..-.$/);
      }),
  }),
  access({
    id: 'R10',
    title: '/etc/nologin was left behind',
    finding: 'ssh.nologin',
    inject: (disk) => disk.inside((system) => system.write('etc/nologin', 'maintenance\n')),
    check: (disk) =>
      disk.look(async (system) => void (await system.ok(['test', '!', '-e', '/etc/nologin']))),
  }),
  access({
    id: 'R11',
    title: 'a socket listens for sshd on another port than its configuration says',
    finding: 'ssh.socket_port',
    inject: (disk) =>
      disk.inside(async (system) => {
        system.edit('etc/ssh/sshd_config', (text) => `${text}Port 2022\n`);
        await system.hostOk(['systemctl', '--root=R', 'disable', 'ssh.service']);
        await system.hostOk(['systemctl', '--root=R', 'enable', 'ssh.socket']);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const isOn = async (unit: string) =>
          (await system.host(['systemctl', '--root=R', 'is-enabled', unit])).status === 0;
        const port = /^port (\d+)$/m.exec(await sshd(system, '-T'))![1]!;
        if (!(await isOn('ssh.socket'))) return assert.ok(await isOn('ssh.service'));
        const unit = 'systemd/system/ssh.socket';
        const places = [`/usr/lib/${unit}`, `/etc/${unit}`, `/etc/${unit}.d`];
        const socket = await system.inside([
          'find',
          ...places,
          '-type',
          'f',
          '-exec',
          'cat',
          '{}',
          '+',
        ]);
        const listens = [...socket.stdout.matchAll(/^ListenStream=(.*)$/gm)].map(([, at]) => at);
        assert.match(listens.at(-1) ?? '', new RegExp(`(^|:)${port}$`));
      }),
  }),
  {
    id: 'R12',
    title: 'remote desktop is switched off in the registry',
    proof: 'none',
    why: 'no Windows is repaired yet',
  },
];
