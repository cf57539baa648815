import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { must, run } from '../../harness/process.ts';
import type { FaultDisk } from '../fault-disk.ts';
import type { MountedSystem } from '../mounted-system.ts';
import { bootsToLogin } from '../virtual-machine.ts';
import type { Fault, RepairedFault } from './fault.ts';

/** Something in the way from power-on to a login. */
function boot(
  fault: Pick<RepairedFault, 'id' | 'title' | 'finding' | 'inject' | 'check'> &
    Partial<RepairedFault>,
): RepairedFault {
  return {
    proof: 'repair',
    disk: 'bios-gpt',
    action: 'bootloader.repair',
    undo: 'files',
    ...fault,
  };
}

const SECTOR_BYTES = 512;
const BOOT_CODE_BYTES = 440;
/** Where GRUB's boot code keeps the sector of its core image; boot.S, `GRUB_BOOT_MACHINE_KERNEL_SECTOR`. */
const CORE_SECTOR_AT = 0x5c;

/** The place of GRUB's core image on the disk, in bytes, as its boot code knows it. */
async function corePlace(disk: FaultDisk): Promise<number> {
  const code = await disk.readBytes(0, SECTOR_BYTES);
  return Number(code.readBigUInt64LE(CORE_SECTOR_AT)) * SECTOR_BYTES;
}

async function requireBootCode(disk: FaultDisk): Promise<void> {
  const code = await disk.readBytes(0, SECTOR_BYTES);
  assert.equal(code.readUInt16LE(0), 0x63eb, 'the disk does not begin with the jump of boot.S');
  assert.ok(code.includes('GRUB'), 'the boot code is not of GRUB');
  const core = await disk.readBytes(await corePlace(disk), 64 * SECTOR_BYTES);
  assert.ok(core.filter((byte) => byte !== 0).length > 20_000, 'there is no core image');
}

/** Every kernel and initramfs that grub.cfg starts is there, on the file systems that are there. */
async function requireMenu(disk: FaultDisk): Promise<void> {
  const uuids = await uuidsOf(disk);
  await disk.look(async (system) => {
    await system.ok(['grub-script-check', '/boot/grub/grub.cfg']);
    const menu = system.read('boot/grub/grub.cfg');
    const kernels = [...menu.matchAll(/^\s*linux\s+(\S+)\s+root=UUID=(\S+)/gm)];
    assert.ok(kernels.length > 0, 'grub.cfg starts no kernel');
    for (const [, file, uuid] of kernels) {
      assert.ok(uuids.has(uuid!), `no file system has the UUID ${uuid}`);
      await system.ok(['test', '-s', inBoot(file!)]);
    }
    for (const [, file] of menu.matchAll(/^\s*initrd\s+(\S+)/gm)) {
      await requireInitramfs(system, inBoot(file!));
    }
    for (const [, uuid] of menu.matchAll(/search .*--fs-uuid .*\s([0-9a-f-]{36})\s*$/gm)) {
      assert.ok(uuids.has(uuid!), `GRUB looks for ${uuid}, which no file system has`);
    }
  });
}

/** Paths of grub.cfg begin at the file system of /boot. */
const inBoot = (file: string) => `/boot/${file.slice(file.lastIndexOf('/') + 1)}`;

async function requireInitramfs(system: MountedSystem, file: string): Promise<void> {
  const listing = await system.inside(['lsinitramfs', file]);
  // It ends with 0 also where the archive is cut short.
  assert.doesNotMatch(listing.stderr, /premature|error|cannot/i);
  assert.match(listing.stdout, /\/virtio_blk\.ko/);
}

async function uuidsOf(disk: FaultDisk): Promise<Set<string>> {
  const roles = disk.layout.separateBoot ? (['boot', 'root'] as const) : (['root'] as const);
  const probe = ['blkid', '--probe', '-s', 'UUID', '-o', 'value'];
  const found = roles.map((role) =>
    must([...probe, '-O', String(disk.partition(role).offset), disk.image]),
  );
  return new Set((await Promise.all(found)).map((uuid) => uuid.trim()));
}

/** Puts a core image where GRUB's boot code looks for it; diskboot.S, `blocklist_default_*`. */
async function embedCore(disk: FaultDisk, image: Buffer): Promise<void> {
  const place = await corePlace(disk);
  const core = Buffer.alloc(Math.ceil(image.length / SECTOR_BYTES) * SECTOR_BYTES);
  image.copy(core);
  core.writeBigUInt64LE(BigInt(place / SECTOR_BYTES + 1), SECTOR_BYTES - 12);
  core.writeUInt16LE(core.length / SECTOR_BYTES - 1, SECTOR_BYTES - 4);
  core.writeUInt16LE(0x820, SECTOR_BYTES - 2);
  await disk.writeBytes(place, core);
}

const zero = async (disk: FaultDisk, offset: number, bytes: number) =>
  disk.writeBytes(offset, Buffer.alloc(bytes));

const inGrubCfg = (change: (text: string) => string) => (disk: FaultDisk) =>
  disk.inside((system) => system.edit('boot/grub/grub.cfg', change));

/** Kernels of the system, the oldest first. */
function kernelsOf(system: MountedSystem): string[] {
  return readdirSync(system.path('boot'))
    .filter((name) => name.startsWith('vmlinuz-'))
    .map((name) => name.slice('vmlinuz-'.length))
    .toSorted();
}

const withNewest =
  (body: (system: MountedSystem, version: string) => Promise<void> | void) => (disk: FaultDisk) =>
    disk.inside((system) => body(system, kernelsOf(system).at(-1)!));

async function requireEspFiles(disk: FaultDisk): Promise<void> {
  for (const file of ['debian/shimx64.efi', 'debian/grubx64.efi', 'BOOT/BOOTX64.EFI']) {
    const { status, stdout } = await disk.mtools('mtype', `::/EFI/${file}`);
    assert.equal(status, 0, `EFI/${file} is missing`);
    assert.ok(stdout.startsWith('MZ'), `EFI/${file} is no program`);
  }
}

async function requireStub(disk: FaultDisk): Promise<void> {
  const uuids = await uuidsOf(disk);
  const { stdout } = await disk.mtools('mtype', '::/EFI/debian/grub.cfg');
  const named = /search\.fs_uuid (\S+)/.exec(stdout)?.[1] ?? 'none';
  assert.ok(uuids.has(named), `the stub looks for ${named}`);
}

const FALSE_UUID = 'deadbeef-0000-4000-8000-000000000000';

export const bootFaults: readonly Fault[] = [
  boot({
    id: 'B01',
    title: 'the boot code of the disk is gone',
    finding: 'boot.no_mbr_code',
    boots: true,
    disk: 'bios-mbr',
    inject: (disk) => zero(disk, 0, BOOT_CODE_BYTES),
    check: requireBootCode,
  }),
  boot({
    id: 'B02',
    title: "GRUB's core image was overwritten",
    finding: 'boot.core_bad',
    boots: true,
    inject: async (disk) => zero(disk, await corePlace(disk), 64 * SECTOR_BYTES),
    check: requireBootCode,
  }),
  boot({
    id: 'B03',
    title: "GRUB's core image does not know the partition table",
    finding: 'boot.core_bad',
    boots: true,
    inject: (disk) =>
      disk.inside(async (system) => {
        // A core image that looks for the root by its UUID and has no part_gpt to find it with.
        const [uuid] = await uuidsOf(disk);
        const image = '/tmp/core.img';
        const early = `search.fs_uuid ${uuid} root\nset prefix=($root)/boot/grub\n`;
        await system.ok(['sh', '-c', 'cat > /tmp/early.cfg'], early);
        await system.ok([
          ...['grub-mkimage', '-O', 'i386-pc', '-o', image, '-c', '/tmp/early.cfg'],
          ...['-p', '/boot/grub', 'biosdisk', 'ext2', 'search_fs_uuid'],
        ]);
        await embedCore(disk, readFileSync(system.path(image)));
      }),
    // What the core image holds is packed; only starting it tells.
    check: (disk) => bootsToLogin(disk.image, 'bios'),
  }),
  boot({
    id: 'B04',
    title: 'grub.cfg is missing',
    finding: 'boot.cfg_missing',
    boots: true,
    inject: (disk) => disk.inside((system) => rmSync(system.path('boot/grub/grub.cfg'))),
    check: requireMenu,
  }),
  boot({
    id: 'B05',
    title: 'grub.cfg names a root file system that is gone',
    finding: 'boot.cfg_stale_uuid',
    boots: true,
    inject: inGrubCfg((text) => text.replaceAll(/root=UUID=\S+/g, `root=UUID=${FALSE_UUID}`)),
    check: requireMenu,
  }),
  boot({
    id: 'B06',
    title: 'the newest kernel is missing',
    finding: 'boot.kernel_missing',
    boots: true,
    inject: withNewest((system, version) => rmSync(system.path(`boot/vmlinuz-${version}`))),
    check: requireMenu,
  }),
  boot({
    id: 'B07',
    title: 'the initramfs is missing',
    finding: 'boot.initrd_bad',
    makesNew: true,
    boots: true,
    inject: withNewest((system, version) => rmSync(system.path(`boot/initrd.img-${version}`))),
    check: requireMenu,
  }),
  boot({
    id: 'B08',
    title: 'the initramfs is cut short',
    finding: 'boot.initrd_bad',
    makesNew: true,
    boots: true,
    inject: withNewest((system, version) =>
      truncateSync(system.path(`boot/initrd.img-${version}`), 4 * 1024 ** 2),
    ),
    check: requireMenu,
  }),
  boot({
    id: 'B09',
    title: '/boot is full and a half-made initramfs lies there',
    finding: 'fs.full',
    action: 'filesystem.reclaim',
    undo: 'none',
    disk: 'bios-gpt-boot',
    inject: withNewest(async (system, version) => {
      await system.ok([
        'cp',
        `/boot/initrd.img-${version}`,
        `/boot/initrd.img-${version}.dpkg-bak`,
      ]);
      await system.inside(['dd', 'if=/dev/zero', `of=/boot/initrd.img-${version}.new`, 'bs=1M']);
    }),
    check: (disk) =>
      disk.lookAsItIs(async (system) => {
        const used = await system.hostOk(['df', '--output=pcent', 'R/boot']);
        assert.ok(Number(/(\d+)%/.exec(used)![1]) < 90, `/boot is ${used.trim()} full`);
      }),
  }),
  boot({
    id: 'B10',
    title: 'the boot loader is missing on the ESP',
    finding: 'boot.esp_loader_missing',
    disk: 'uefi',
    boots: true,
    inject: async (disk) => {
      await disk.mtoolsOk('mdel', '::/EFI/debian/grubx64.efi', '::/EFI/debian/shimx64.efi');
      await disk.mtoolsOk('mdeltree', '::/EFI/BOOT');
    },
    check: requireEspFiles,
  }),
  boot({
    id: 'B11',
    title: 'the stub on the ESP names a file system that is gone',
    finding: 'boot.esp_stub',
    disk: 'uefi',
    boots: true,
    inject: async (disk) => {
      const { stdout } = await disk.mtools('mtype', '::/EFI/debian/grub.cfg');
      const stub = stdout.replace(/fs_uuid \S+/, `fs_uuid ${FALSE_UUID}`);
      await disk.mtoolsOk('mdel', '::/EFI/debian/grub.cfg');
      await disk.toEsp('::/EFI/debian/grub.cfg', stub);
    },
    check: requireStub,
  }),
  boot({
    id: 'B12',
    title: 'the ESP was not cleanly unmounted',
    finding: 'fs.fat_damage',
    action: 'filesystem.repair',
    disk: 'uefi',
    undo: 'bytes',
    // The byte of a FAT32 boot sector whose first bit says so.
    inject: (disk) => disk.writeBytes(disk.partition('esp').offset + 65, Buffer.from([1])),
    check: (disk) =>
      disk.device('esp', async (device) => {
        const { stdout } = await run(['fsck.vfat', '-n', device]);
        assert.doesNotMatch(stdout, /Dirty bit is set/);
      }),
  }),
  boot({
    id: 'B13',
    title: 'the firmware has forgotten the entry and the removable path is empty',
    finding: 'boot.nvram_missing',
    disk: 'uefi',
    boots: true,
    inject: (disk) => disk.mtoolsOk('mdeltree', '::/EFI/BOOT'),
    check: requireEspFiles,
  }),
  boot({
    id: 'B14',
    title: 'the saved entry names a kernel that was removed',
    finding: 'boot.saved_entry',
    boots: true,
    inject: (disk) =>
      disk.inside(async (system) => {
        system.edit('etc/default/grub', (text) => text.replace('DEFAULT=0', 'DEFAULT=saved'));
        const gone = 'gnulinux-advanced>gnulinux-6.1.0-1-cloud-amd64-advanced';
        await system.ok(['grub-editenv', '/boot/grub/grubenv', 'set', `saved_entry=${gone}`]);
        system.edit('boot/grub/grub.cfg', (text) =>
          text.replace('set default="0"', 'set default="${saved_entry}"'),
        );
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const saved = /^saved_entry=(.*)$/m.exec(
          await system.ok(['grub-editenv', '/boot/grub/grubenv', 'list']),
        )?.[1];
        const ids = system.read('boot/grub/grub.cfg').matchAll(/menuentry_id_option '([^']+)'/g);
        const known = new Set([...ids].map(([, id]) => id));
        const parts = saved?.split('>') ?? [];
        assert.ok(
          parts.every((part) => known.has(part) || /^\d+$/.test(part)),
          saved,
        );
      }),
  }),
  boot({
    id: 'B15',
    title: 'the newest kernel does not start',
    finding: null,
    boots: true,
    parameters: { kernel: 'previous' },
    inject: withNewest(async (system, version) => {
      // The packed kernel is damaged, which its first lines find out.
      const file = `/boot/vmlinuz-${version}`;
      const where = ['bs=4096', 'seek=1024', 'count=8', 'conv=notrunc'];
      await system.ok(['dd', 'if=/dev/urandom', `of=${file}`, 'status=none', ...where]);
    }),
    check: (disk) =>
      disk.look(async (system) => {
        const [previous] = kernelsOf(system);
        const menu = system.read('boot/grub/grub.cfg');
        const chosen = await system.inside(['grub-editenv', '/boot/grub/grubenv', 'list']);
        const defaults = [...menu.matchAll(/^\s*set default="(.*)"$/gm)].map(([, id]) => id);
        assert.match(`${chosen.stdout} ${defaults.join(' ')}`, new RegExp(`${previous!}(?!\\d)`));
      }),
  }),
  boot({
    id: 'B16',
    title: 'the first partition table of the disk is gone',
    finding: 'disk.gpt_main_bad',
    boots: true,
    // The boot code before it stays.
    inject: (disk) => zero(disk, BOOT_CODE_BYTES, 34 * SECTOR_BYTES - BOOT_CODE_BYTES),
    check: async (disk) => {
      const { stdout } = await run(['sgdisk', '--verify', disk.image]);
      assert.match(stdout, /^No problems found/m);
    },
  }),
  boot({
    id: 'B17',
    title: 'the loader of every program is gone',
    finding: 'sys.no_loader',
    action: 'packages.repair',
    boots: true,
    inject: (disk) =>
      disk.inside((system) => {
        const loader = 'usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2';
        renameSync(system.path(loader), system.path('var/tmp/ld.gone'));
      }),
    check: (disk) => disk.look(async (system) => void (await system.ok(['/bin/true']))),
  }),
  {
    id: 'B18',
    title: 'the boot files of Windows are damaged',
    proof: 'none',
    why: 'no Windows is repaired yet',
  },
];
