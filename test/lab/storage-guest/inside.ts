import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ended } from '../../../agent/jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../agent/jobs/job-spec.ts';
import { sh, tell } from '../agent-guest/telling.ts';
import { Guest, left, mounted, POINT, sum } from './guest-jobs.ts';
import { KEY, ROOT_ID, SECRET_ID, WRONG_KEY } from './storage-facts.ts';

/** What is tried in the guest: an agent's jobs on a system whose root lies on LVM on LUKS on RAID. */

const MIRROR = ['/dev/vdb', '/dev/vdc'];
const [DATA, DATA_2] = ['/dev/vdd', '/dev/vde'];
const BOOKS = ['/dev/vdf', '/dev/vdg'];
/** What is left as it was on an encrypted disk is noise, which e2fsck takes for files. */
const MAKE_EXT4 = 'mkfs.ext4 -q -E lazy_itable_init=0';
/** mkfs.xfs(8) takes disks under 300 MiB only from its own tests, which say so by these. */
const SMALL_XFS = 'env TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1';

/** By hand, as an administrator does: the storage is there for as long as the body runs. */
function withShop<T>(body: () => T): T {
  sh(`mdadm --assemble --run /dev/md0 ${MIRROR.join(' ')}`);
  sh('cryptsetup.real open --key-file=- /dev/md0 by-hand; vgchange --activate y shop', KEY);
  try {
    return body();
  } finally {
    sh('vgchange --activate n shop; cryptsetup.real close by-hand; mdadm --stop /dev/md0');
  }
}

function withSecret<T>(body: () => T): T {
  sh('vgchange --activate y data');
  sh('cryptsetup.real open --key-file=- /dev/data/secret by-hand', KEY);
  try {
    return body();
  } finally {
    sh('cryptsetup.real close by-hand; vgchange --activate n data');
  }
}

function withBooks<T>(body: () => T): T {
  sh(`mdadm --assemble --run /dev/md1 ${BOOKS.join(' ')}`);
  try {
    return body();
  } finally {
    sh('mdadm --stop /dev/md1');
  }
}

function makeSystem(): void {
  // There is no udev to make its device nodes.
  writeFileSync('/etc/lvm/lvmlocal.conf', 'activation { udev_sync=0 udev_rules=0 }\n');
  sh(
    `mdadm --create /dev/md0 --run --assume-clean --level=1 --raid-devices=2 --homehost=shop ${MIRROR.join(' ')}`,
  );
  const fast = '--pbkdf pbkdf2 --pbkdf-force-iterations 1000';
  sh(`cryptsetup luksFormat --batch-mode ${fast} --key-file=- /dev/md0`, KEY);
  sh('cryptsetup open --key-file=- /dev/md0 by-hand', KEY);
  sh('pvcreate /dev/mapper/by-hand; vgcreate shop /dev/mapper/by-hand');
  sh('lvcreate --wipesignatures n --name root --size 56M shop');
  sh('lvcreate --wipesignatures n --name orders --size 64M shop');
  sh(`${SMALL_XFS} mkfs.xfs -q /dev/shop/orders`);
  sh(`${MAKE_EXT4} -U ${ROOT_ID} /dev/shop/root`);
  sh(`mkdir -p ${POINT}; mount /dev/shop/root ${POINT}`);
  sh(`cd ${POINT}; mkdir -p etc bin boot data dev proc run sys tmp
    echo '127.0.0.1 localhost' > etc/hosts; echo shop-2 > etc/hostname
    echo 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"' > etc/os-release`);
  const lines = [
    '/dev/mapper/shop-root / ext4 defaults 0 1',
    'UUID=99999999-2222-4333-8444-555555555502 /data ext4 defaults 0 2',
    '',
  ];
  writeFileSync(`${POINT}/etc/fstab`, lines.join('\n'));
  sh(
    `umount ${POINT}; vgchange --activate n shop; cryptsetup close by-hand; mdadm --stop /dev/md0`,
  );
  // Of a group of two disks the root of nothing; the second is a disk that can be missing.
  sh(`pvcreate ${DATA} ${DATA_2}; vgcreate data ${DATA} ${DATA_2}`);
  sh('lvcreate --wipesignatures n --name one --extents 4 data');
  // Its first extents lie on one disk, its last ones on the other.
  sh('lvcreate --wipesignatures n --name secret --size 64M data');
  sh(
    `cryptsetup luksFormat --batch-mode ${fast} --uuid ${SECRET_ID} --key-file=- /dev/data/secret`,
    KEY,
  );
  sh('cryptsetup open --key-file=- /dev/data/secret by-hand', KEY);
  sh(`${MAKE_EXT4} /dev/mapper/by-hand; cryptsetup close by-hand`);
  sh('vgchange --activate n data');
  sh(
    `mdadm --create /dev/md1 --run --assume-clean --level=1 --raid-devices=2 --homehost=shop --name=books ${BOOKS.join(' ')}`,
  );
  sh('mkfs.btrfs -q /dev/md1; mdadm --stop /dev/md1');
}

/** Writes down how cryptsetup is called, in the folder of the job (others cannot be written to), and calls it. */
function watchCalls(): void {
  renameSync('/usr/sbin/cryptsetup', '/usr/sbin/cryptsetup.real');
  const lines = [
    '#!/bin/sh',
    'for job in /tmp/ivj-*/jobs/*; do',
    '  { tr "\\0" "\\n" < /proc/$$/cmdline; tr "\\0" "\\n" < /proc/$$/environ; } 2> /dev/null >> "$job/called"',
    'done 2> /dev/null',
    'exec /usr/sbin/cryptsetup.real "$@"',
    '',
  ];
  writeFileSync('/usr/sbin/cryptsetup', lines.join('\n'));
  chmodSync('/usr/sbin/cryptsetup', 0o755);
}

/** Resolves to the plan, which is good again after the undo. */
async function repairIt(guest: Guest): Promise<string> {
  const fstab = () =>
    withShop(() => mounted('/dev/shop/root', () => readFileSync(`${POINT}/etc/fstab`, 'utf8')));
  const repair = { action: 'boot.repair-fstab' };
  const broken = fstab();
  const plan = await guest.plan('a plan', repair, KEY, MIRROR);
  const applied = await guest.order('the repair', { ...repair, plan }, KEY, MIRROR);
  tell('the table after the repair', { text: fstab() });
  await guest.order('the undo', { ...repair, mode: 'undo', undoes: applied }, KEY, MIRROR);
  tell('the table after the undo', { same: fstab() === broken });
  return plan;
}

interface BrokenVolume {
  what: string;
  device: string;
  /** Where its first superblock lies. */
  superblock: { at: number; bytes: number };
  /** How it is mounted without a byte changed; `ro` unless given. */
  look?: string;
  /** As the order names it. */
  volume: string;
  disks: readonly string[];
  opened: <T>(body: () => T) => T;
}

const BROKEN: readonly BrokenVolume[] = [
  {
    what: 'ext4 on LVM',
    ...{ device: '/dev/shop/root', volume: '/dev/mapper/shop-root' },
    superblock: { at: 1024, bytes: 1024 },
    ...{ disks: MIRROR, opened: withShop },
  },
  {
    what: 'XFS on LVM',
    ...{ device: '/dev/shop/orders', volume: '/dev/shop/orders' },
    superblock: { at: 0, bytes: 512 },
    // XFS clears old blocks of its log for a read-only mount, too.
    look: 'ro,norecovery',
    ...{ disks: MIRROR, opened: withShop },
  },
  {
    what: 'ext4 on LUKS',
    ...{ device: '/dev/mapper/by-hand', volume: `/dev/mapper/luks-${SECRET_ID}` },
    superblock: { at: 1024, bytes: 1024 },
    ...{ disks: [DATA, DATA_2], opened: withSecret },
  },
  {
    what: 'Btrfs on RAID',
    ...{ device: '/dev/md1', volume: '/dev/md/books' },
    superblock: { at: 65_536, bytes: 4096 },
    ...{ disks: BOOKS, opened: withBooks },
  },
];

/** A file system whose first superblock is gone is planned for, repaired, and broken again by the undo. */
async function repairVolume(guest: Guest, broken: BrokenVolume): Promise<void> {
  const { what, device, superblock, look = 'ro', volume, disks, opened } = broken;
  const repair = { action: 'filesystem.repair', parameters: { volume } };
  const order = (name: string, change: Partial<JobSpec>) =>
    guest.order(`${what}: ${name}`, { ...repair, ...change }, KEY, disks);
  const [seek, count] = [superblock.at / 512, superblock.bytes / 512];
  const before = opened(() => {
    mounted(device, () => writeFileSync(`${POINT}/kept`, 'as it was\n'));
    sh(`dd if=${device} of=/run/superblock skip=${seek} count=${count} status=none`);
    sh(`dd if=/dev/zero of=${device} seek=${seek} count=${count} conv=notrunc,fsync status=none`);
    return sum([device]);
  });
  const plan = await guest.plan(`${what}: the plan`, repair, KEY, disks);
  const applied = await order('the repair', { plan });
  const read = () => readFileSync(`${POINT}/kept`, 'utf8');
  tell(`${what}: after the repair`, { kept: opened(() => mounted(device, read, `-o ${look}`)) });
  await order('the undo', { mode: 'undo', undoes: applied });
  tell(`${what}: after the undo`, { same: opened(() => sum([device])) === before });
  opened(() =>
    sh(`dd if=/run/superblock of=${device} seek=${seek} conv=notrunc,fsync status=none`),
  );
}

/** The runner dies while everything is open, and the agent with it; another agent comes. */
async function killIt(guest: Guest): Promise<void> {
  const job = await guest.start({ action: 'diagnostics.collect' }, KEY);
  while (!sh('dmsetup ls').includes('intervene-')) await sleep(5);
  await guest.jobs.close();
  process.kill(guest.fixture.runnerPid(job.id), 'SIGKILL');
  while (sh('losetup --list --noheadings --output NAME').trim() === '') await sleep(5);
  tell('after the kill', { left: left() });
  guest.jobs = guest.agent();
  await guest.jobs.load();
  const { outcome } = await ended(guest.jobs.get(job.id)!);
  for (let tries = 0; left().length > 0 && tries < 600; tries++) await sleep(100);
  tell('after the next agent', { outcome, left: left() });
}

async function main(): Promise<void> {
  makeSystem();
  watchCalls();
  const guest = await Guest.start();
  const order = (what: string, change: Partial<JobSpec>, key?: string) =>
    guest.order(what, change, key, MIRROR);
  const diagnose = { action: 'diagnostics.collect' };
  await order('a look without a key', diagnose);
  await order('a look with a wrong key', diagnose, WRONG_KEY);
  await order('a look', diagnose, `${KEY}\n`);
  const plan = await repairIt(guest);
  await killIt(guest);
  for (const broken of BROKEN) await repairVolume(guest, broken);
  await order('a look at one disk of a group', { ...diagnose, target: { disk: DATA } });
  sh('mdadm --zero-superblock /dev/vdc');
  await order('a look with a disk missing', diagnose, KEY);
  const fstab = { action: 'boot.repair-fstab' };
  await guest.plan('a plan with a disk missing', fstab, KEY, MIRROR);
  await order('a repair with a disk missing', { ...fstab, plan }, KEY);
  const root = { parameters: { volume: '/dev/shop/root' } };
  await order('a check with a disk missing', { action: 'filesystem.check', ...root }, KEY);
  const repair = { action: 'filesystem.repair', ...root };
  await guest.plan("a file system's plan with a disk missing", repair, KEY, MIRROR);
  const search = `grep -rlF '${KEY}' ${guest.fixture.state} /run /tmp /var/log || true`;
  const calls = sh(`grep -rl cryptsetup ${guest.fixture.state} --include=called | wc -l`);
  tell('the key', { in: sh(search).split('\n').filter(Boolean), calls: Number(calls) });
  await guest.fixture.close();
}

await main();
