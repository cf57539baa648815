import { readFileSync, writeFileSync } from 'node:fs';
import type { JobSpec } from '../../../agent/jobs/job-spec.ts';
import { sh, tell } from '../agent-guest/telling.ts';
import { Guest, mounted, POINT } from './guest-jobs.ts';
import { ROOT_ID } from './storage-facts.ts';

/**
 * What is tried in the guest: a system whose root lies on LVM on RAID1 and whose /boot lies on RAID1, on disks
 * that no loader was ever installed on.
 */

const DISKS = ['/dev/vdb', '/dev/vdc'];
const BIOS_BOOT = '21686148-6449-6E6F-744E-656564454649';
const RAID = 'A19D880F-05FC-4D3B-A006-743F0F84911E';
const TABLE = `label: gpt\nsize=1M, type=${BIOS_BOOT}\nsize=250M, type=${RAID}\ntype=${RAID}\n`;

function makeSystem(): void {
  const settings = '/etc/lvm/lvmlocal.conf';
  // There is no udev to make its device nodes.
  writeFileSync(settings, 'activation { udev_sync=0 udev_rules=0 }\n');
  for (const disk of DISKS) sh(`sfdisk --quiet ${disk}`, TABLE);
  const create = 'mdadm --create --run --assume-clean --level=1 --raid-devices=2 --homehost=shop';
  sh(`${create} --name=boot /dev/md1 /dev/vdb2 /dev/vdc2`);
  sh(`${create} --name=pv /dev/md2 /dev/vdb3 /dev/vdc3`);
  sh('pvcreate /dev/md2; vgcreate shop /dev/md2');
  sh('lvcreate --wipesignatures n --name root --extents 100%FREE shop');
  sh(`mkfs.ext4 -q /dev/md1; mkfs.ext4 -q -U ${ROOT_ID} /dev/shop/root`);
  const boot = sh('blkid -p -s UUID -o value /dev/md1').trim();
  mounted('/dev/shop/root', () => {
    sh(`mkdir ${POINT}/boot; mount /dev/md1 ${POINT}/boot`);
    const left = ['./lab', `.${settings}`].map((path) => `--exclude=${path}`).join(' ');
    sh(`tar -C / --one-file-system ${left} -c . | tar -C ${POINT} -x`);
    const lines = [
      '/dev/mapper/shop-root / ext4 defaults 0 1',
      `UUID=${boot} /boot ext4 defaults 0 2`,
    ];
    writeFileSync(`${POINT}/etc/fstab`, `${lines.join('\n')}\n`);
    sh(`umount ${POINT}/boot`);
  });
  closeByHand();
}

function closeByHand(): void {
  sh('vgchange --activate n shop; mdadm --stop /dev/md1 /dev/md2');
}

/** Boot code, core images and what is in /boot, as an administrator sees them. */
function bootState(): object {
  sh('mdadm --assemble --run /dev/md1 /dev/vdb2 /dev/vdc2');
  try {
    return mounted('/dev/md1', () => ({
      code: DISKS.map((disk) => sh(`head --bytes=440 ${disk} | cksum`)),
      core: DISKS.map((disk) => sh(`cksum < ${disk}1`)),
      files: sh(`cd ${POINT}; find . -type f | sort | xargs cksum`),
      menu: readFileSync(`${POINT}/grub/grub.cfg`, 'utf8'),
    }));
  } finally {
    sh('mdadm --stop /dev/md1');
  }
}

async function main(): Promise<void> {
  makeSystem();
  tell('before', { boot: bootState() });
  const guest = await Guest.start();
  const repair = { action: 'bootloader.repair' };
  const order = (what: string, change: Partial<JobSpec>) =>
    guest.order(what, { maxRuntimeSeconds: 3600, ...change }, undefined, []);
  await order('a look', { action: 'diagnostics.collect' });
  const plan = await guest.plan('the plan', repair, undefined, []);
  const applied = await order('the repair', { ...repair, plan });
  tell('after the repair', { boot: bootState() });
  await guest.plan('the plan after it', repair, undefined, []);
  await order('the undo', { ...repair, mode: 'undo', undoes: applied });
  tell('after the undo', { boot: bootState() });
  await order('the repair again', { ...repair, plan });
  await guest.fixture.close();
}

await main();
