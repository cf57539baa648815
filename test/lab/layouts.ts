/** How the disks of the laboratory are cut. */
export interface Layout {
  firmware: 'bios' | 'uefi';
  table: 'gpt' | 'dos';
  rootType: 'ext4' | 'xfs' | 'btrfs';
  /** `/boot` is a file system of its own, ext4. */
  separateBoot: boolean;
  /** A partition of NTFS lies behind the root, as beside a Windows. */
  ntfsData?: true;
}

export const layouts = {
  /** GPT: bios_boot, root ext4. */
  'bios-gpt': { firmware: 'bios', table: 'gpt', rootType: 'ext4', separateBoot: false },
  /** GPT: bios_boot, /boot ext4, root ext4. */
  'bios-gpt-boot': { firmware: 'bios', table: 'gpt', rootType: 'ext4', separateBoot: true },
  /** GPT: bios_boot, root ext4, NTFS. */
  'bios-gpt-ntfs': {
    firmware: 'bios',
    table: 'gpt',
    rootType: 'ext4',
    separateBoot: false,
    ntfsData: true,
  },
  /** MBR: root ext4; the core image lies in the gap before it. */
  'bios-mbr': { firmware: 'bios', table: 'dos', rootType: 'ext4', separateBoot: false },
  /** GPT: ESP with shim and the signed GRUB as Debian installs them, root ext4. */
  uefi: { firmware: 'uefi', table: 'gpt', rootType: 'ext4', separateBoot: false },
  /** GPT: bios_boot, root XFS. */
  'bios-xfs': { firmware: 'bios', table: 'gpt', rootType: 'xfs', separateBoot: false },
  /** GPT: bios_boot, root Btrfs in the subvolume `@rootfs`, as Debian's installer makes it. */
  'bios-btrfs': { firmware: 'bios', table: 'gpt', rootType: 'btrfs', separateBoot: false },
} as const satisfies Record<string, Layout>;

export type LayoutName = keyof typeof layouts;

/** What a partition is for; also its name on GPT. */
export type Role = 'bios-boot' | 'esp' | 'boot' | 'root' | 'data';

export const IMAGE_BYTES = 2 * 1024 ** 3;

export const SUBVOLUME = '@rootfs';

/** The last one takes what is left, whatever stands here. */
const PARTITIONS: Readonly<Record<Role, { guid: string; sectors: number }>> = {
  'bios-boot': { guid: '21686148-6449-6e6f-744e-656564454649', sectors: 2048 },
  esp: { guid: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', sectors: 131_072 },
  boot: { guid: '0fc63daf-8483-4772-8e79-3d69d8477de4', sectors: 524_288 },
  // All but the last 96 MiB.
  root: { guid: '0fc63daf-8483-4772-8e79-3d69d8477de4', sectors: 3_997_696 },
  data: { guid: 'ebd0a0a2-b9e5-4433-87c0-68b6b72699c7', sectors: 0 },
};

/** The partitions in their order on the disk. */
export function rolesOf(layout: Layout): Role[] {
  const loader: Role[] =
    layout.table === 'dos' ? [] : [layout.firmware === 'uefi' ? 'esp' : 'bios-boot'];
  const boot: Role[] = layout.separateBoot ? ['boot'] : [];
  const data: Role[] = layout.ntfsData === true ? ['data'] : [];
  return [...loader, ...boot, 'root', ...data];
}

/** The input of sfdisk(8) that makes the table. */
export function partitionScript(layout: Layout): string {
  if (layout.table === 'dos') {
    return 'label: dos\nlabel-id: 0x5e5c0e01\nstart=2048, type=83, bootable\n';
  }
  const roles = rolesOf(layout);
  const lines = roles.map((role) => {
    const { guid, sectors } = PARTITIONS[role];
    const size = role === roles.at(-1) ? '' : `size=${sectors}, `;
    return `${size}type=${guid}, name=${role}`;
  });
  return ['label: gpt', ...lines, ''].join('\n');
}
