import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { must, run } from '../../harness/process.ts';
import type { FaultDisk } from '../fault-disk.ts';
import type { Role } from '../layouts.ts';
import type { Fault, RepairedFault } from './fault.ts';

type Given = Pick<RepairedFault, 'id' | 'title' | 'finding' | 'inject' | 'check'> &
  Partial<RepairedFault>;
const damage = (fault: Given): RepairedFault => ({
  proof: 'repair',
  disk: 'bios-gpt',
  action: 'filesystem.repair',
  undo: 'bytes',
  ...fault,
});

const debugfs = (disk: FaultDisk, role: Role, ...commands: string[]) =>
  disk.device(role, async (device) => {
    for (const command of commands) await must(['debugfs', '-w', '-R', command, device]);
  });

const requireSound = (disk: FaultDisk, role: Role = 'root') =>
  disk.device(role, async (device) => {
    const { status, stdout, stderr } = await run(['e2fsck', '-fn', device]);
    assert.equal(status, 0, stdout + stderr);
    const header = await must(['dumpe2fs', '-h', device]);
    assert.doesNotMatch(header, /needs_recovery/);
    assert.match(header, /^Filesystem features: .*has_journal/m);
    assert.match(header, /^Filesystem state:\s+clean$/m);
    assert.doesNotMatch(header, /^FS Error count/m);
  });

const requireSoundXfs = (disk: FaultDisk) =>
  disk.device('root', async (device) => {
    const { status, stdout, stderr } = await run(['xfs_repair', '-n', device]);
    assert.equal(status, 0, stdout + stderr);
  });

/** What a power cut leaves: the bytes of the disk while the file system is mounted and in use. */
async function cutPower(disk: FaultDisk): Promise<void> {
  const snapshot = `${disk.folder}/power-cut.img`;
  await disk.inside(async (system) => {
    mkdirSync(system.path('srv/orders'));
    for (let order = 0; order < 50; order++) {
      writeFileSync(system.path(`srv/orders/${order}`), `order ${order}\n`);
    }
    await must(['sync', '--file-system', system.path('srv')]);
    for (let order = 0; order < 50; order += 2) {
      await must(['rm', system.path(`srv/orders/${order}`)]);
    }
    // Commits the journal; only unmounting would write it out to its place.
    await must(['sync', system.path('srv/orders')]);
    await must(['cp', '--sparse=always', disk.image, snapshot]);
  });
  await must(['mv', snapshot, disk.image]);
}

/** What was on the disk for good before the power went, the journal's last commits among it. */
const requireOrders = (disk: FaultDisk) =>
  disk.lookAsItIs((system) => {
    const orders = readdirSync(system.path('srv/orders')).map(Number);
    const kept = Array.from({ length: 25 }, (_, i) => 2 * i + 1);
    assert.deepEqual(
      orders.toSorted((one, other) => one - other),
      kept,
    );
    for (const order of orders) {
      assert.equal(system.read(`srv/orders/${order}`), `order ${order}\n`);
    }
  });

const edit = (change: (text: string) => string) => (disk: FaultDisk) =>
  disk.inside((system) => system.edit('etc/fstab', change));

/** What systemd itself would make of the table, and what `findmnt` says of its words. */
const requireFstab = (disk: FaultDisk) =>
  disk.look(async (system) => {
    const said = await system.host(['findmnt', '--verify', '--tab-file', 'R/etc/fstab']);
    assert.doesNotMatch(said.stdout + said.stderr, /parse error at line|does not match/);
    const uuid = /^UUID=(\S+) \/ /m.exec(system.read('etc/fstab'))?.[1];
    const probe = ['blkid', '--probe', '-s', 'UUID', '-o', 'value', '-O'];
    const { offset } = disk.partition('root');
    assert.equal((await must([...probe, String(offset), disk.image])).trim(), uuid);
    for (const line of system.read('etc/fstab').split('\n')) {
      if (!/^[^#\s].*\s\/data\s/.test(line)) continue;
      assert.match(line, /nofail/, 'a boot would wait for what is not there');
    }
  });

export const filesystemFaults: readonly Fault[] = [
  damage({
    id: 'F01',
    title: 'an ext4 journal must be replayed',
    finding: 'fs.journal_pending',
    loses: ['/srv/orders'],
    inject: cutPower,
    check: async (disk) => {
      await requireSound(disk);
      await requireOrders(disk);
    },
  }),
  damage({
    id: 'F02',
    title: 'ext4 metadata are damaged',
    finding: 'fs.ext4_errors',
    loses: ['/var/cache', '/lost+found'],
    inject: (disk) => debugfs(disk, 'root', 'clri /var/cache'),
    check: (disk) => requireSound(disk),
  }),
  damage({
    id: 'F03',
    title: 'the superblock of ext4 is gone',
    finding: 'fs.ext4_super',
    boots: true,
    inject: (disk) => disk.writeBytes(disk.partition('root').offset + 1024, Buffer.alloc(1024)),
    check: (disk) => requireSound(disk),
  }),
  damage({
    id: 'F04',
    title: 'the group descriptors of ext4 are garbage',
    finding: 'fs.ext4_errors',
    inject: (disk) =>
      disk.writeBytes(disk.partition('root').offset + 4096, Buffer.alloc(4096, 0xa5)),
    check: (disk) => requireSound(disk),
  }),
  damage({
    id: 'F05',
    title: 'the journal of ext4 is gone',
    finding: 'fs.ext4_errors',
    inject: (disk) => debugfs(disk, 'root', 'clri <8>'),
    check: (disk) => requireSound(disk),
  }),
  damage({
    id: 'F06',
    title: 'ext4 has recorded errors',
    finding: 'fs.ext4_errors',
    inject: (disk) => debugfs(disk, 'root', 'ssv error_count 3', 'ssv state 3'),
    check: (disk) => requireSound(disk),
  }),
  damage({
    id: 'F07',
    title: 'an XFS log must be replayed',
    finding: 'fs.journal_pending',
    disk: 'bios-xfs',
    loses: ['/srv/orders'],
    inject: cutPower,
    check: async (disk) => {
      await requireSoundXfs(disk);
      await requireOrders(disk);
    },
  }),
  damage({
    id: 'F08',
    title: 'the superblock of XFS is gone',
    finding: 'fs.xfs_damage',
    disk: 'bios-xfs',
    boots: true,
    inject: (disk) =>
      disk.device('root', async (device) => {
        await must(['xfs_db', '-x', '-c', 'sb 0', '-c', 'write -d magicnum 0', device]);
      }),
    check: requireSoundXfs,
  }),
  damage({
    id: 'F09',
    title: 'an XFS log cannot be replayed',
    finding: 'fs.xfs_damage',
    disk: 'bios-xfs',
    // Its last changes are lost with it, which only people can decide.
    parameters: { discardLog: true },
    loses: ['/srv/orders', '/lost+found'],
    inject: async (disk) => {
      await cutPower(disk);
      await disk.device('root', async (device) => {
        const said = await must([
          'xfs_db',
          '-r',
          '-c',
          'sb 0',
          '-c',
          'p logstart blocksize agblklog agblocks',
          device,
        ]);
        const value = (name: string) =>
          Number(new RegExp(`^${name} = (\\d+)$`, 'm').exec(said)![1]);
        const [group, inGroup] = [
          value('logstart') >> value('agblklog'),
          value('logstart') & ((1 << value('agblklog')) - 1),
        ];
        const at = (group * value('agblocks') + inGroup) * value('blocksize');
        // All records but their heads' first words: the log ends nowhere.
        await must([
          'dd',
          'if=/dev/urandom',
          `of=${device}`,
          'bs=4096',
          `seek=${at / 4096}`,
          'count=64',
          'conv=notrunc,fsync',
          'status=none',
        ]);
      });
    },
    check: requireSoundXfs,
  }),
  damage({
    id: 'F10',
    title: 'the superblock of Btrfs is gone',
    finding: 'fs.btrfs_damage',
    disk: 'bios-btrfs',
    boots: true,
    inject: (disk) => disk.writeBytes(disk.partition('root').offset + 65_536, Buffer.alloc(4096)),
    check: (disk) =>
      disk.device('root', async (device) => {
        await must(['btrfs', 'check', '--readonly', device]);
      }),
  }),
  {
    id: 'F11',
    title: 'the trees of Btrfs are damaged',
    proof: 'live',
    test: 'agent/actions/filesystem/btrfs/btrfs.test.ts',
  },
  {
    id: 'F12',
    title: 'NTFS is marked dirty',
    proof: 'report',
    disk: 'bios-gpt-ntfs',
    finding: 'win.dirty_volume',
    inject: (disk) => disk.device('data', async (device) => void (await must(['ntfsfix', device]))),
    check: (disk) =>
      disk.device('data', async (device) => {
        const { stdout, stderr } = await run(['ntfsinfo', '--mft', device]);
        assert.doesNotMatch(stdout + stderr, /scheduled for check/);
      }),
  },
  {
    id: 'F13',
    title: 'NTFS belongs to a Windows that hibernates',
    proof: 'report',
    disk: 'bios-gpt-ntfs',
    finding: 'win.hibernated',
    inject: (disk) =>
      disk.device('data', async (device) => {
        const file = `${disk.folder}/hiberfil.sys`;
        writeFileSync(file, Buffer.alloc(4096, 'hibr', 'latin1'));
        await must(['ntfscp', device, file, '/hiberfil.sys']);
      }),
    check: (disk) =>
      disk.device('data', async (device) => void (await must(['ntfs-3g.probe', '-w', device]))),
  },
  damage({
    id: 'F14',
    title: 'the boot sector of NTFS is gone',
    disk: 'bios-gpt-ntfs',
    finding: 'fs.ntfs_boot_sector',
    inject: (disk) => disk.writeBytes(disk.partition('data').offset, Buffer.alloc(512)),
    check: (disk) =>
      disk.device('data', async (device) => {
        await must(['blkid', '--probe', '--match-types', 'ntfs', device]);
        await must(['ntfs-3g.probe', '--readwrite', device]);
      }),
  }),
  damage({
    id: 'F15',
    title: 'fstab names a disk that is not there',
    finding: 'fstab.missing_source',
    action: 'boot.repair-fstab',
    undo: 'files',
    boots: true,
    inject: edit(
      (text) => `${text}UUID=deadbeef-0000-4000-8000-000000000001 /data ext4 defaults 0 2\n`,
    ),
    check: requireFstab,
  }),
  damage({
    id: 'F16',
    title: 'a line of fstab cannot be read and one names the wrong file system',
    finding: 'fstab.parse',
    action: 'boot.repair-fstab',
    undo: 'files',
    inject: edit((text) => `${text.replace(' / ext4 ', ' / xfs ')}bad line\n`),
    check: requireFstab,
  }),
  damage({
    id: 'F17',
    title: 'the disk is full of logs and packages',
    finding: 'fs.full',
    action: 'filesystem.reclaim',
    undo: 'none',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.ok(['mkdir', '-p', '/var/cache/apt/archives']);
        await system.ok(['fallocate', '-l', '300M', '/var/cache/apt/archives/old_1_amd64.deb']);
        await system.ok(['fallocate', '-l', '100M', '/var/log/shop.log.1']);
        await system.inside(['dd', 'if=/dev/zero', 'of=/srv/data', 'bs=1M']);
      }),
    check: (disk) => requireFree(disk, '--output=pcent'),
  }),
  damage({
    id: 'F18',
    title: 'no inode is left',
    finding: 'fs.inodes',
    action: 'filesystem.reclaim',
    // Logging visitors out is for the client to decide.
    parameters: { also: ['php-sessions'] },
    undo: 'none',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.ok(['mkdir', '-p', '/var/lib/php/sessions']);
        await system.inside([
          'sh',
          '-c',
          'cd /var/lib/php/sessions && seq -f sess_%06g 200000 | xargs touch',
        ]);
      }),
    check: (disk) => requireFree(disk, '--output=ipcent'),
  }),
  {
    id: 'F19',
    title: 'a mirror lacks a disk and is not started',
    proof: 'live',
    test: 'test/lab/storage.test.ts',
  },
  {
    id: 'F20',
    title: 'LVM lacks a disk, LUKS is named wrongly, a disk fails',
    proof: 'live',
    test: 'test/lab/storage.test.ts',
  },
];

const requireFree = (disk: FaultDisk, field: string) =>
  disk.lookAsItIs(async (system) => {
    const used = await system.hostOk(['df', field, 'R/']);
    assert.ok(Number(/(\d+)%/.exec(used)![1]) < 98, used);
  });
