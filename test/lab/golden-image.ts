import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { kept } from '../harness/kept.ts';
import { must } from '../harness/process.ts';
import { diskTree } from './disk-tree.ts';
import { IMAGE_BYTES, layouts, partitionScript, rolesOf, SUBVOLUME } from './layouts.ts';
import type { Layout, LayoutName, Role } from './layouts.ts';
import { MountedSystem } from './mounted-system.ts';
import type { SystemMount } from './mounted-system.ts';
import { partitionsOf } from './partitions.ts';
import type { Partition } from './partitions.ts';

const SOURCES = ['golden-image.ts', 'layouts.ts'];

/**
 * An image of a healthy disk that boots, built once per machine from the kept tree, in some seconds. Never
 * changed: tests work on a `FaultDisk`, a copy.
 */
export async function goldenImage(name: LayoutName): Promise<string> {
  const tree = await diskTree();
  const sources = SOURCES.map((file) => readFileSync(path.join(import.meta.dirname, file), 'utf8'));
  return kept(`disk-${name}`, [tree, ...sources], (draft) => build(name, tree, draft));
}

async function build(name: LayoutName, tree: string, image: string): Promise<void> {
  const layout: Layout = layouts[name];
  writeFileSync(image, '');
  truncateSync(image, IMAGE_BYTES);
  await must(['sfdisk', '--quiet', image], { input: partitionScript(layout) });
  const roles = rolesOf(layout);
  const disk = (await must(['losetup', '--find', '--show', image])).trim();
  try {
    // The kernel may know no partition tables; partx(8) reads them itself.
    await must(['partx', '--update', disk]);
    const device = (role: Role) => `${disk}p${roles.indexOf(role) + 1}`;
    await makeFilesystems(name, layout, device);
    await fill(name, layout, tree, disk, device);
    if (layout.firmware === 'uefi') {
      const place = (await partitionsOf(image))[roles.indexOf('esp')]!;
      await makeEsp(image, tree, place, identifier(name, 'root'));
    }
  } finally {
    await must(['partx', '--delete', disk]);
    await must(['losetup', '--detach', disk]);
  }
}

/** A UUID of a file system that follows from the image's name, so that golden images are alike. */
function identifier(name: LayoutName, role: Role): string {
  const hex = createHash('sha256').update(`${name} ${role}`).digest('hex');
  if (role === 'esp') return `${hex.slice(0, 4)}-${hex.slice(4, 8)}`.toUpperCase();
  return [0, 8, 12, 16, 20].map((at, i) => hex.slice(at, [8, 12, 16, 20, 32][i])).join('-');
}

async function makeFilesystems(
  name: LayoutName,
  layout: Layout,
  device: (role: Role) => string,
): Promise<void> {
  const ext4 = (role: Role) =>
    must(['mkfs.ext4', '-q', '-U', identifier(name, role), '-L', role, '-m', '1', device(role)]);
  if (layout.separateBoot) await ext4('boot');
  if (layout.ntfsData === true) {
    await must(['mkntfs', '--quiet', '--fast', '--label', 'data', device('data')]);
  }
  const uuid = identifier(name, 'root');
  if (layout.rootType === 'ext4') await ext4('root');
  if (layout.rootType === 'xfs') {
    await must(['mkfs.xfs', '-q', '-m', `uuid=${uuid}`, '-L', 'root', device('root')]);
  }
  if (layout.rootType === 'btrfs') {
    await must(['mkfs.btrfs', '--quiet', '-U', uuid, '-L', 'root', device('root')]);
    const top = await MountedSystem.open([{ source: device('root'), at: '/' }]);
    await must(['btrfs', 'subvolume', 'create', top.path(SUBVOLUME)]);
    await top.close();
  }
}

/** Where the file systems of a layout belong, the root first. */
export function mountsOf(
  layout: Layout,
  source: (role: Role) => Pick<SystemMount, 'source' | 'part'>,
): SystemMount[] {
  const options = layout.rootType === 'btrfs' ? [`subvol=${SUBVOLUME}`] : [];
  const root = { ...source('root'), at: '/', options };
  return layout.separateBoot ? [root, { ...source('boot'), at: '/boot' }] : [root];
}

function fstab(name: LayoutName, layout: Layout): string {
  const options = {
    ext4: 'errors=remount-ro',
    xfs: 'defaults',
    btrfs: `defaults,subvol=${SUBVOLUME}`,
  };
  const pass = layout.rootType === 'ext4' ? 1 : 0;
  const lines = [
    `UUID=${identifier(name, 'root')} / ${layout.rootType} ${options[layout.rootType]} 0 ${pass}`,
  ];
  if (layout.separateBoot) lines.push(`UUID=${identifier(name, 'boot')} /boot ext4 defaults 0 2`);
  if (layout.firmware === 'uefi') {
    lines.push(`UUID=${identifier(name, 'esp')} /boot/efi vfat umask=0077 0 1`);
  }
  return `${lines.join('\n')}\n`;
}

async function fill(
  name: LayoutName,
  layout: Layout,
  tree: string,
  disk: string,
  device: (role: Role) => string,
): Promise<void> {
  const parts = rolesOf(layout).map(device);
  const mounts = mountsOf(layout, (role) => ({ source: device(role) }));
  const empty = await MountedSystem.open(mounts);
  await must(['cp', '--archive', `${tree}/.`, empty.root]);
  await must(['mkdir', '-p', empty.path('boot/efi')]);
  empty.write('etc/fstab', fstab(name, layout));
  await empty.close();
  const system = await MountedSystem.open(mounts, { devices: [disk, ...parts] });
  try {
    if (layout.firmware === 'bios') {
      await system.ok(['grub-install', '--target=i386-pc', disk]);
      // What the package remembers, so that its updates install to the same disk.
      await system.ok(
        ['debconf-set-selections'],
        'grub-pc grub-pc/install_devices multiselect /dev/vda\n',
      );
    }
    await system.ok(['update-grub']);
    if (!system.read('boot/grub/grub.cfg').includes(`root=UUID=${identifier(name, 'root')}`)) {
      throw new Error('grub.cfg does not name the root file system');
    }
  } finally {
    await system.close();
  }
}

/**
 * The ESP as Debian makes it on a server without lasting NVRAM: shim and the signed GRUB below EFI/debian,
 * with a stub that finds the root, and once more at the removable path, from where shim's fallback makes
 * the entry in NVRAM. Made as a file, since mtools(1) works on those.
 */
async function makeEsp(image: string, tree: string, place: Partition, root: string): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'iv-esp-'));
  try {
    const esp = path.join(folder, 'esp');
    writeFileSync(esp, '');
    truncateSync(esp, place.size);
    const serial = identifier('uefi', 'esp').replace('-', '');
    await must(['mkfs.vfat', '-F', '32', '-s', '1', '-i', serial, '-n', 'ESP', esp]);
    const stub = path.join(folder, 'grub.cfg');
    const lines = [
      `search.fs_uuid ${root} root`,
      "set prefix=($root)'/boot/grub'",
      'configfile $prefix/grub.cfg',
    ];
    writeFileSync(stub, `${lines.join('\n')}\n`);
    const shim = path.join(tree, 'usr/lib/shim');
    const signed = path.join(tree, 'usr/lib/grub/x86_64-efi-signed');
    const files: [from: string, to: string][] = [
      [`${shim}/shimx64.efi.signed`, 'debian/shimx64.efi'],
      [`${shim}/mmx64.efi.signed`, 'debian/mmx64.efi'],
      [`${shim}/fbx64.efi.signed`, 'debian/fbx64.efi'],
      [`${shim}/BOOTX64.CSV`, 'debian/BOOTX64.CSV'],
      [`${signed}/grubx64.efi.signed`, 'debian/grubx64.efi'],
      [stub, 'debian/grub.cfg'],
      [`${shim}/shimx64.efi.signed`, 'BOOT/BOOTX64.EFI'],
      [`${shim}/fbx64.efi.signed`, 'BOOT/fbx64.efi'],
      [`${shim}/mmx64.efi.signed`, 'BOOT/mmx64.efi'],
      [`${signed}/grubx64.efi.signed`, 'BOOT/grubx64.efi'],
    ];
    await must(['mmd', '-i', esp, '::/EFI', '::/EFI/debian', '::/EFI/BOOT']);
    for (const [from, to] of files) await must(['mcopy', '-i', esp, from, `::/EFI/${to}`]);
    await must([
      ...['dd', `if=${esp}`, `of=${image}`, 'bs=1M', `seek=${place.offset}`],
      ...['oflag=seek_bytes', 'conv=notrunc,sparse', 'status=none'],
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
