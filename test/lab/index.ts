/**
 * The fault laboratory: disks with a whole Debian 12 on them, for tests to break, repair and boot.
 *
 *     const disk = await FaultDisk.copy('bios-gpt');          // seconds; see `layouts` for the others
 *     await disk.inside(async (system) => {                   // mounted, privately
 *       system.edit('etc/fstab', (text) => `${text}bad line\n`);
 *       await system.ok(['passwd', '--lock', 'root']);        // a program of the disk's own system
 *       await system.host(['systemctl', '--root=R', 'mask', 'ssh']);   // one of this machine
 *     });
 *     await disk.writeBytes(0, new Uint8Array(440));          // raw; `disk.partition('root').offset`
 *     await disk.mtools('mdel', '::/EFI/debian/grubx64.efi'); // the ESP of layout `uefi`
 *     await disk.device('root', (device) => must(['e2fsck', '-fn', device]));
 *     await bootsToLogin(disk.image, 'bios');                 // half a minute of QEMU; writes nothing
 *     disk.close();
 *
 * `VirtualMachine` types at the console and reads it. The system has the accounts and names of
 * `disk-tree.ts`. The first use on a machine builds the tree (two minutes) and each layout (seconds), and
 * keeps them. Everything needs root. Tests are `test/lab/*.test.ts` (`scripts/test --only lab`), or
 * lie beside the source with a `hookTimeout` long enough for the first build.
 */
export { CAROL_PASSWORD, HOSTNAME, MACHINE_ID, ROOT_PASSWORD, diskTree } from './disk-tree.ts';
export { differences, pictureOf } from './disk-picture.ts';
export { FaultDisk } from './fault-disk.ts';
export { goldenImage } from './golden-image.ts';
export { imageDigest } from './image-digest.ts';
export { layouts } from './layouts.ts';
export type { Layout, LayoutName, Role } from './layouts.ts';
export { MountedSystem } from './mounted-system.ts';
export { VirtualMachine, bootsToLogin } from './virtual-machine.ts';
