import { execFileSync } from 'node:child_process';
import { AccessDisk } from './access-disk.ts';
import { copyPrograms } from './copy-programs.ts';

const PROGRAMS = ['/usr/sbin/sshd', '/usr/bin/ssh-keygen'];
const CONFIG = [
  "# A line that is nobody's business.",
  'Include /etc/ssh/sshd_config.d/*.conf',
  '',
  'PermitRootLogin prohibit-password',
  'PasswordAuthentication no',
  'KbdInteractiveAuthentication no',
  'UsePAM no',
  '',
].join('\n');

const files = {
  '/etc/ssh/sshd_config': CONFIG,
  '/etc/ssh/sshd_config.d/': '',
  '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\n',
  '/lib/systemd/system/ssh.service':
    '[Unit]\nDescription=OpenBSD Secure Shell server\n\n[Service]\nExecStart=/usr/sbin/sshd -D\n\n[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n',
  '/etc/systemd/system/multi-user.target.wants/': '',
  '/root/.ssh/': '',
  '/var/': '',
} as const;

/** A disk whose SSH is well: this machine's own sshd, host keys, a unit that starts it, a key for root. */
export async function sshdDisk(): Promise<AccessDisk> {
  const disk = await AccessDisk.create(files);
  await disk.change((root) => {
    copyPrograms(root, PROGRAMS);
    execFileSync(
      'sh',
      [
        '-ec',
        `echo 'sshd:x:105:65534::/run/sshd:/usr/sbin/nologin' >> etc/passwd
        echo 'sshd:!:19000::::::' >> etc/shadow
        for type in ed25519 ecdsa; do ssh-keygen -q -t $type -N '' -C root -f etc/ssh/ssh_host_\${type}_key; done
        echo 'HostKey /etc/ssh/ssh_host_ed25519_key' > etc/ssh/sshd_config.d/keys.conf
        echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >> etc/ssh/sshd_config.d/keys.conf
        ln -s /lib/systemd/system/ssh.service etc/systemd/system/multi-user.target.wants/ssh.service
        ln -s /lib/systemd/system/ssh.service etc/systemd/system/sshd.service
        cp etc/ssh/ssh_host_ed25519_key.pub root/.ssh/authorized_keys
        chmod 700 root/.ssh; chmod 600 root/.ssh/authorized_keys; chmod 1777 tmp`,
      ],
      { cwd: root },
    );
  });
  return disk;
}
