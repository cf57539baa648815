import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { observerSpecs } from '../../../jobs/observations.ts';
import type { Observation, ObservationName } from '../../../jobs/observation.ts';
import { names, ProbeFixture, recorded, seenBy } from '../testing/probe-fixture.ts';
import { fstab } from './fstab.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import { parseFstab } from '../../../target/fstab-lines.ts';
import { filesystemSpace, judgeSpace, parseSpace } from './space.ts';
import { writeState } from './write-state.ts';

let system: ProbeFixture;
let loops: LoopFixture;
beforeEach(async () => {
  system = await ProbeFixture.create();
  loops = await LoopFixture.create();
});
afterEach(async () => {
  await loops.close();
  await system.close();
});

/** What the agent would see of this machine now. */
async function observed(name: ObservationName): Promise<Observation> {
  const spec = (await observerSpecs()).find((candidate) => candidate.name === name)!;
  return seenBy(spec.argv!);
}

describe('space', () => {
  const look = async (mountPoint: string) => {
    const space = await observed('space');
    const found = await system.look(filesystemSpace, { space });
    return found.filter(({ subject }) => subject === mountPoint);
  };

  it('is full when nothing more can be written', async () => {
    const place = await loops.mount(await loops.loop(await loops.ext4('disk', 16)));
    expect(await look(place)).toEqual([]);
    // Until the file system itself says that it is full.
    await seenBy(['dd', 'if=/dev/zero', `of=${place}/big`, 'bs=64k']);
    const [found] = await look(place);
    expect(found).toMatchObject({ rule: 'fs.full', severity: 'critical' });
  });

  it('takes no more files when its inodes are used', async () => {
    const file = await loops.file('disk', 8 * 1024 * 1024 + 512);
    await loops.run('mke2fs', '-q', '-F', '-t', 'ext4', '-N', '64', file);
    const place = await loops.mount(await loops.loop(file));
    await Promise.allSettled(
      Array.from({ length: 200 }, (_, at) => writeFile(join(place, `file-${at}`), '')),
    );
    expect(names(await look(place))).toEqual([`fs.inodes ${place}`]);
  });

  it('counts what is mounted at two places once', async () => {
    const device = await loops.loop(await loops.ext4('disk'));
    const [one, two] = [await loops.mount(device), await loops.mount(device)];
    const { out } = await seenBy([
      'df',
      '--block-size=1',
      '--output=source,fstype,size,avail,pcent,itotal,ipcent,target',
      one,
      two,
    ]);
    expect(parseSpace(out).filter(({ source }) => source === device)).toHaveLength(1);
  });

  it('reads mount points with blanks', () => {
    const line = '/dev/sdb1 ext4 1000 5 99% 10 20% /srv/my files';
    const [space] = parseSpace(`header\n${line}\n`);
    expect(space).toMatchObject({ mountPoint: '/srv/my files', usedPercent: 99, available: 5 });
    expect(judgeSpace([space!], 'df')).toHaveLength(1);
  });
});

describe('writing', () => {
  it('has ended where the file system is read-only and nobody asked for that', async () => {
    const device = await loops.loop(await loops.ext4('disk'));
    const place = await loops.mount('-o', 'ro', device);
    const mounts = await observed('mounts');
    const look = async (line: string) => {
      await system.write('etc/fstab', line);
      const found = await system.look(writeState, { mounts });
      return names(found).filter((name) => name.endsWith(place));
    };
    expect(await look(`${device} ${place} ext4 defaults 0 2\n`)).toEqual([`fs.read_only ${place}`]);
    expect(await look(`${device} ${place} ext4 ro 0 2\n`)).toEqual([]);
    expect(await look('')).toEqual([]);
  });

  it('judges the file system, not the mount it is seen through', async () => {
    const device = await loops.loop(await loops.ext4('disk'));
    const place = await loops.mount(device);
    await loops.run('mount', '-o', 'remount,bind,ro', place);
    await system.write('etc/fstab', `${device} ${place} ext4 defaults 0 2\n`);
    const mounts = await observed('mounts');
    expect(mounts.out).toMatch(new RegExp(` ${place} ro,`));
    expect(names(await system.look(writeState, { mounts }))).not.toContain(`fs.read_only ${place}`);
  });

  it('has met errors that ext4 itself has counted', async () => {
    const file = await loops.ext4('disk');
    await loops.run('debugfs', '-w', '-R', 'set_super_value error_count 3', file);
    const device = await loops.loop(file);
    await loops.mount('-o', 'ro', device);
    const mounts = await observed('mounts');
    const found = await system.look(writeState, { mounts }, '/');
    expect(found).toContainEqual(
      expect.objectContaining({
        rule: 'fs.ext4_errors',
        subject: basename(device),
        suggestion: { action: 'filesystem.check', parameters: { device } },
      }),
    );
  });
});

describe('fstab', () => {
  let device: string;
  let uuid: string;
  let blocks: Observation;
  let signatures: Observation;
  beforeEach(async () => {
    device = await loops.loop(await loops.ext4('disk'));
    uuid = (await loops.run('blkid', '-p', '-o', 'value', '-s', 'UUID', device)).trim();
    // Of this machine only what the test made: its own disk may not be readable here.
    const listed = ['lsblk', '--json', '--bytes', '--output', 'NAME,TYPE,SIZE,FSTYPE,UUID', device];
    blocks = await seenBy(listed);
    signatures = await seenBy(['blkid', '-c', '/dev/null', '-o', 'export', device]);
  });

  async function look(...lines: string[]) {
    await system.write('etc/fstab', `${lines.join('\n')}\n`);
    return system.look(fstab, { 'block-devices': blocks, signatures });
  }

  it('is well when every device is there', async () => {
    const found = await look(
      '# comment',
      '',
      `UUID=${uuid} /data ext4 defaults 0 2`,
      `UUID="${uuid.toUpperCase()}" /more ext2 noatime`,
      `/dev/disk/by-uuid/${uuid} /again auto defaults 0 0`,
      `${device} /by-name ext4 defaults 0 2 # comment`,
      'proc /proc proc defaults 0 0',
      'server:/export /nfs nfs defaults 0 0',
      '/data/x /bound none bind 0 0',
      '/dev/vg/lv /lv ext4 defaults 0 0',
    );
    expect(found).toEqual([]);
  });

  const GONE = 'UUID=11111111-2222-4333-8444-555555555555';

  it('stops the next boot for a device that is not there', async () => {
    const [found] = await look(
      `UUID=${uuid} /data ext4 defaults 0 2`,
      `${GONE} /gone ext4 defaults 0 2`,
    );
    expect(found).toMatchObject({
      rule: 'fstab.missing_source',
      severity: 'critical',
      subject: GONE,
      evidence: [{ file: '/etc/fstab', line: 2 }],
      suggestion: { action: 'boot.repair-fstab' },
    });
  });

  it.each(['nofail', 'defaults,noauto', 'x-systemd.automount'])(
    'goes on without it where the options say so: %s',
    async (options) => {
      expect(await look(`${GONE} /gone ext4 ${options} 0 2`)).toMatchObject([
        { severity: 'notice' },
      ]);
    },
  );

  it('names another file system than the device holds', async () => {
    const [found] = await look(`UUID=${uuid} /data xfs defaults 0 2`);
    expect(found).toMatchObject({ rule: 'fstab.parse', severity: 'critical' });
    expect(found!.title).toContain('xfs');
  });

  it.each([
    ['tmpfs /tmp tmpfs defualts 0 0', 'critical', 'boot.repair-fstab'],
    ['tmpfs /tmp tmpfs frobnicate 0 0', 'critical', 'boot.repair-fstab'],
    ['tmpfs /tmp tmpfs defualts,nofail 0 0', 'warning', 'boot.repair-fstab'],
    ['tmpfs /tmp tmpfs frobnicate,noauto 0 0', 'warning', undefined],
    ['tmpfs /var tmpfs frobnicate 0 0', 'critical', undefined],
  ])('has an option that nothing knows: %s', async (line, severity, action) => {
    const [found] = await look('# comment', line);
    expect(found).toMatchObject({
      ...{ rule: 'fstab.bad_option', severity, subject: line.split(' ')[1] },
      evidence: [{ file: '/etc/fstab', line: 2, text: line }],
    });
    expect(found!.suggestion?.action).toBe(action);
  });

  it('names what the disks alone do not tell by the name that a kernel gave it', async () => {
    const told = '/dev/sdz1 /backup ext4 defaults 0 2';
    await system.write('etc/fstab', `${told}\n/dev/shop/data /data xfs\n/dev/sdz2 /x xfs nofail\n`);
    const volume = { paths: ['/dev/shop/data'] } as unknown as Volume;
    expect(await system.look(fstab, {}, system.root, [volume])).toMatchObject([
      { rule: 'fstab.kernel_name', severity: 'notice', subject: '/dev/sdz1', suggestion: null },
    ]);
  });

  it.each([
    ['bad line', 'a field is missing'],
    ['/dev/sdb1 data ext4 defaults 0 2', 'no absolute path'],
    ['/dev/sdb1 /data ext4 defaults zero two', 'no number'],
  ])('has a line that is ignored: %s', async (line, why) => {
    const [found] = await look(line);
    expect(found).toMatchObject({ rule: 'fstab.parse', severity: 'warning', subject: 'line 1' });
    expect(found!.title).toContain(why);
  });

  it('cannot mount at what is no folder', async () => {
    const { out } = await seenBy(['mkfifo', system.path('pipe')]);
    expect(out).toBe('');
    expect(names(await look(`UUID=${uuid} /pipe ext4 defaults 0 2`))).toEqual([
      'fstab.parse /pipe',
    ]);
  });

  it('keeps blanks that are written as numbers', () => {
    const [entry] = parseFstab(String.raw`LABEL=my\040disk /my\040data ext4 defaults`).entries;
    expect(entry).toMatchObject({ source: 'LABEL=my disk', mountPoint: '/my data' });
  });

  it('is not missed where there is none', async () => {
    await mkdir(system.path('etc'), { recursive: true });
    await expect(system.look(fstab)).rejects.toThrow('no /etc/fstab');
  });

  it('is not called broken for a device that could not be read', async () => {
    const unread = '{"blockdevices":[{"name":"sdx","type":"disk","size":1000,"fstype":null}]}';
    blocks = recorded(unread);
    const [found] = await look(`${GONE} /gone ext4 defaults 0 2`);
    expect(found).toMatchObject({ rule: 'fstab.missing_source', severity: 'notice' });
  });

  it('takes the word of udev where it has one', async () => {
    const name = basename(device);
    const known = { blockdevices: [{ name, type: 'loop', size: 1000, fstype: 'ext4', uuid }] };
    const seen = {
      'block-devices': recorded(JSON.stringify(known)),
      signatures: { ...recorded(''), problem: 'not_applicable' as const },
    };
    await system.write(
      'etc/fstab',
      `UUID=${uuid} /data ext4 defaults 0 2\n${GONE} /x ext4 defaults\n`,
    );
    expect(await system.look(fstab, seen)).toMatchObject([{ severity: 'critical', subject: GONE }]);
  });

  it('cannot be judged when lsblk gives no answer', async () => {
    await system.write('etc/fstab', `${GONE} /gone ext4 defaults 0 2\n`);
    await expect(system.look(fstab, { 'block-devices': recorded('{') })).rejects.toThrow('lsblk');
  });
});
