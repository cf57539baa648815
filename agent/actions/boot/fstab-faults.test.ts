import { describe, expect, it } from 'vitest';
import { findLineChanges, findLinesLeft, withChanges, type FstabFacts } from './fstab-faults.ts';

const ROOT = { type: 'ext4', uuid: 'aaaa-root', label: 'system' };
const ESP = { type: 'vfat', uuid: 'E5B0-0001', label: null };
const facts: FstabFacts = {
  filesystems: [
    known(ROOT),
    known({ ...ESP, partitionType: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B' }),
    known({ type: 'xfs', uuid: 'bbbb-data', label: 'data', partitionUuid: 'cccc' }),
    known({ type: 'ntfs', uuid: '77AA', partitionLabel: 'Basic data' }),
    known({ type: 'swsuspend', uuid: 'dddd-swap' }),
  ],
  isComplete: true,
  root: known(ROOT),
  hasDevice: () => null,
};

function known(
  some: Partial<FstabFacts['filesystems'][number]>,
): FstabFacts['filesystems'][number] {
  return {
    type: null,
    uuid: null,
    label: null,
    partitionUuid: null,
    partitionLabel: null,
    partitionType: null,
    ...some,
  };
}

const repaired = (text: string, change: Partial<FstabFacts> = {}) =>
  withChanges(text, findLineChanges(text, { ...facts, ...change }));

describe('a line of fstab', () => {
  it.each([
    ['UUID=aaaa-root / ext4 errors=remount-ro 0 1'],
    ['LABEL=data /data xfs defaults 0 2'],
    ['/dev/disk/by-partuuid/cccc /data xfs defaults 0 2'],
    ['UUID=E5B0-0001 /boot/efi vfat umask=0077 0 1'],
    ['server:/export /net nfs defaults 0 0'],
    ['tmpfs /tmp tmpfs size=1G 0 0'],
    ['/dev/sdb1 /old ext4 defaults 0 2'],
    ['UUID=gone /data ext4 noauto 0 0'],
    ['UUID=gone /data ext4 nofail 0 0'],
    ['UUID=aaaa-root /x auto bind 0 0'],
    ['# UUID=gone / ext4'],
    ['UUID=aaaa-root / ext4 defaults 0 1 extra'],
    ['UUID=aaaa-root /'],
    ['x /usr'],
    ['UUID=77AA /win ntfs3 defaults 0 0'],
    ['/dev/disk/by-partlabel/Basic\\x20data /win lowntfs-3g defaults 0 0'],
    ['UUID=dddd-swap none swap sw 0 0'],
    ['tmpfs /tmp tmpfs size=50%,mode=1777,nr_inodes=1m,X-any.thing,x-systemd.automount 0 0'],
    ['UUID=bbbb-data /data xfs context="system_u:object_r:x:s0:c1,c2",inode64,prjquota 0 2'],
    ['server:/export /net nfs ro,frobnicate 0 0'],
    ['tmpfs /tmp tmpfs frobnicate,nofail 0 0'],
    ['tmpfs /var tmpfs frobnicate 0 0'],
    [''],
  ])('that keeps nothing from booting stays as it is: %s', (line) => {
    expect(findLineChanges(line, facts)).toEqual([]);
  });

  it.each([
    [
      'UUID=gone\t/data ext4\tdefaults 0 2',
      'UUID=gone\t/data ext4\tdefaults,nofail,x-systemd.device-timeout=10s 0 2',
    ],
    ['UUID=gone /data ext4', 'UUID=gone /data ext4 defaults,nofail,x-systemd.device-timeout=10s'],
    [
      'UUID=gone none swap sw 0 0',
      'UUID=gone none swap sw,nofail,x-systemd.device-timeout=10s 0 0',
    ],
    ['UUID=gone / ext4 defaults 0 1', 'UUID=aaaa-root / ext4 defaults 0 1'],
    [
      'UUID=dead-beef  /boot/efi vfat umask=0077 0 1',
      'UUID=E5B0-0001  /boot/efi vfat umask=0077 0 1',
    ],
    ['LABEL=data /data ext4 defaults 0 2', 'LABEL=data /data xfs defaults 0 2'],
    ['tmpfs  /tmp tmpfs defualts,size=1G 0 0', 'tmpfs  /tmp tmpfs defaults,size=1G 0 0'],
    ['tmpfs /tmp tmpfs sizee=1G', 'tmpfs /tmp tmpfs size=1G'],
    ['tmpfs /var tmpfs frobnicate,nosiud 0 0', 'tmpfs /var tmpfs frobnicate,nosuid 0 0'],
    ['tmpfs /tmp tmpfs frobnicate 0 0', 'tmpfs /tmp tmpfs frobnicate,nofail 0 0'],
    ['UUID=bbbb-data /data ext4 noatme 0 2', 'UUID=bbbb-data /data xfs noatime 0 2'],
    [
      'UUID=gone /data ext4 noatme 0 2',
      'UUID=gone /data ext4 noatime,nofail,x-systemd.device-timeout=10s 0 2',
    ],
    ['bad line', '# bad line'],
    ['  UUID=aaaa-root data ext4', '#   UUID=aaaa-root data ext4'],
  ])('is corrected in as few places as can be: %s', (line, expected) => {
    expect(repaired(`# first\n${line}\n# last\n`)).toBe(`# first\n${expected}\n# last\n`);
  });

  it.each(['/usr', '/boot', '/var'])(
    'for %s is left to a person when its disk is gone',
    (place) => {
      expect(findLineChanges(`UUID=gone ${place} ext4 defaults 0 2`, facts)).toEqual([]);
    },
  );

  it('for the EFI partition is left alone where there are two', () => {
    const two = { ...facts.filesystems[1]!, uuid: 'E5B0-0002' };
    const filesystems = [...facts.filesystems, two];
    const text = 'UUID=gone /boot/efi vfat umask=0077 0 1\n';
    expect(repaired(text, { filesystems })).toMatch(/umask=0077,nofail/);
  });

  it('for what may lie in a volume that is not opened counts as there', () => {
    const changes = findLineChanges('UUID=gone /data ext4', { ...facts, isComplete: false });
    expect(changes).toEqual([]);
  });

  it('by a name of the kernel counts as missing only where somebody knows', () => {
    const line = '/dev/vdz1 /data ext4 defaults 0 2';
    expect(repaired(line, { hasDevice: () => false })).toContain('nofail');
    expect(repaired(line, { hasDevice: () => true })).toBe(line);
  });

  it.each<[line: string, why: RegExp, change?: Partial<FstabFacts>]>([
    ['/dev/sdz1 /backup ext4 defaults 0 2', /^whether \/dev\/sdz1 .* cannot be told from here$/],
    ['UUID=gone /data ext4 defaults 0 2', /cannot be told from here/, { isComplete: false }],
    ['UUID=gone /usr ext4 defaults 0 2', /is not there, and nothing says which/],
    ['tmpfs /var tmpfs frobnicate 0 0', /^no file system knows frobnicate/],
    ['x /usr', /^mount ignores it/],
  ])('that nobody can judge or correct is told of: %s', (line, why, change = {}) => {
    expect(findLinesLeft(`# first\n${line}\n`, { ...facts, ...change })).toEqual([
      { line: 2, why: expect.stringMatching(why) as string },
    ]);
  });

  it.each([
    ['UUID=aaaa-root / ext4 defualts 0 1'],
    ['/dev/sdz1 /backup ext4 nofail 0 2'],
    ['/swapfile none swap sw 0 0'],
    ['server:/export /net nfs defaults 0 0'],
    ['UUID=gone /data ext4 defaults 0 2'],
  ])('that can be judged is not told of: %s', (line) => {
    expect(findLinesLeft(line, facts)).toEqual([]);
  });

  it('by a path that its system has for a volume is there', () => {
    const line = '/dev/mapper/shop-data /data xfs defaults 0 2';
    expect(findLinesLeft(line, { ...facts, hasDevice: () => true })).toEqual([]);
  });

  it('is corrected alone where only it was ordered', () => {
    const text = 'bad one\nbad two\n';
    expect(withChanges(text, findLineChanges(text, facts, [2]))).toBe('bad one\n# bad two\n');
  });
});
