import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { mmdebstrap } from '../harness/debian-tree.ts';
import { kept } from '../harness/kept.ts';
import { must } from '../harness/process.ts';

export const HOSTNAME = 'shop-1';
export const MACHINE_ID = '5e5c0e0143b84f0c9d0f6f2b7a1c3d5e';
/** The passwords of `root` and of `carol`, who may use sudo. */
export const ROOT_PASSWORD = 'the root of the shop';
export const CAROL_PASSWORD = 'carol owns the shop';

const PACKAGES = [
  ...['apt', 'attr', 'bubblewrap', 'ca-certificates', 'cron', 'dbus', 'iproute2', 'kmod', 'less'],
  ...['openssh-server', 'procps', 'sudo', 'systemd', 'systemd-sysv', 'udev', 'zstd'],
  // Disks and file systems.
  ...['btrfs-progs', 'cryptsetup', 'cryptsetup-initramfs', 'dosfstools', 'e2fsprogs', 'fdisk'],
  ...['gdisk', 'lvm2', 'mdadm', 'mtools', 'smartmontools', 'xfsprogs'],
  // The boot chain: one tree serves BIOS and UEFI.
  ...['efibootmgr', 'grub-efi-amd64-bin', 'grub-efi-amd64-signed', 'grub-pc', 'initramfs-tools'],
  ...['linux-image-cloud-amd64', 'shim-signed'],
  // Everybody's way to configure network and firewall; ifupdown is in use.
  ...['fail2ban', 'ifupdown', 'iptables', 'netplan.io', 'network-manager', 'nftables', 'ufw'],
  // The client's own service.
  'nginx-light',
];

/** Installed, and used only by what needs them. */
const SWITCHED_OFF = [
  ...['NetworkManager.service', 'NetworkManager-wait-online.service', 'fail2ban.service'],
  ...['smartmontools.service', 'ufw.service'],
  // They would work on the client's disk while a test looks at it.
  ...['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer'],
  ...['e2scrub_reap.service', 'fstrim.timer'],
];

const OPTIONS = [
  '--mode=root',
  '--aptopt=Apt::Install-Recommends "false"',
  // grub-pc's own scripts need /usr/share/grub; nobody needs these.
  ...['doc', 'man', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  '--dpkgopt=force-unsafe-io',
  `--include=${PACKAGES.toSorted().join(',')}`,
  '--essential-hook=printf "grub-pc grub-pc/install_devices_empty boolean true\\n" | chroot "$1" debconf-set-selections',
  // An older kernel beside the newest, as on every server that has been updated.
  '--customize-hook=chroot "$1" apt-get install --yes $(chroot "$1" apt-cache pkgnames linux-image-6.1.0- | grep -E "^linux-image-6.1.0-[0-9]+-cloud-amd64$" | sort -V | tail -2 | head -1)',
];

const FILES: Readonly<Record<string, string>> = {
  'etc/hostname': `${HOSTNAME}\n`,
  'etc/hosts': `127.0.0.1 localhost\n127.0.1.1 ${HOSTNAME}\n`,
  'etc/machine-id': `${MACHINE_ID}\n`,
  'etc/resolv.conf': 'nameserver 10.0.2.3\n',
  // The addresses of QEMU's own network, so that a booted disk is reachable.
  'etc/network/interfaces': [
    'source /etc/network/interfaces.d/*',
    '',
    'auto lo',
    'iface lo inet loopback',
    '',
    'auto enp0s3',
    'iface enp0s3 inet static',
    '    address 10.0.2.15/24',
    '    gateway 10.0.2.2',
    '',
  ].join('\n'),
  'etc/default/grub': [
    'GRUB_DEFAULT=0',
    'GRUB_TIMEOUT=0',
    'GRUB_DISTRIBUTOR=Debian',
    'GRUB_CMDLINE_LINUX_DEFAULT=""',
    'GRUB_CMDLINE_LINUX="console=ttyS0,115200"',
    'GRUB_TERMINAL=serial',
    'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"',
    '',
  ].join('\n'),
};

/**
 * The Debian 12 that all disks of the laboratory hold: a small web server with two kernels, boot loaders
 * for BIOS and UEFI, a serial console, a static address. Built once per machine, in about two minutes.
 * Needs root and a Debian mirror.
 */
export function diskTree(): Promise<string> {
  const recipe = [readFileSync(import.meta.filename, 'utf8')];
  return kept('disk-tree', recipe, async (draft) => {
    await mmdebstrap(OPTIONS, draft);
    for (const [file, text] of Object.entries(FILES)) writeFileSync(path.join(draft, file), text);
    const inside = (argv: string[], input = '') => must(['chroot', draft, ...argv], { input });
    await inside(['useradd', '--create-home', '--shell=/bin/bash', '--groups=sudo', 'carol']);
    await inside(['chpasswd'], `root:${ROOT_PASSWORD}\ncarol:${CAROL_PASSWORD}\n`);
    await must(['systemctl', `--root=${draft}`, '--quiet', 'disable', ...SWITCHED_OFF]);
  });
}
