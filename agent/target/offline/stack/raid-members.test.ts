import { describe, expect, it } from 'vitest';
import { arrayPaths, groupArrays, readRaidMember } from './raid-members.ts';

/** As mdadm 4.2 tells of one half of a mirror. */
const MEMBER = `/dev/vdb:
          Magic : a92b4efc
        Version : 1.2
    Feature Map : 0x0
     Array UUID : e431ea6c:2305c279:b5b3009a:cbeac14c
           Name : shop:0
  Creation Time : Mon Nov 30 09:26:36 2026
     Raid Level : raid1
   Raid Devices : 2

 Avail Dev Size : 1570816 sectors (767.00 MiB 804.26 MB)
     Array Size : 785408 KiB (767.00 MiB 804.26 MB)
    Data Offset : 2048 sectors
   Super Offset : 8 sectors
   Unused Space : before=1968 sectors, after=0 sectors
          State : clean
    Device UUID : b8fcb364:3c63db96:ff8b3e02:35fd79c9

    Update Time : Mon Nov 30 09:27:16 2026
  Bad Block Log : 512 entries available at offset 16 sectors
       Checksum : 84a521cb - correct
         Events : 18


   Device Role : Active device 0
   Array State : AA ('A' == active, '.' == missing, 'R' == replacing)
`;

const UUID = 'e431ea6c:2305c279:b5b3009a:cbeac14c';
const member = (node: string, ...changes: [from: string, to: string][]) =>
  readRaidMember(
    node,
    changes.reduce((text, [from, to]) => text.replace(from, to), MEMBER),
  )!;
const two: [string, string] = ['Active device 0', 'Active device 1'];

describe('the members of a RAID', () => {
  it('are read as mdadm tells of them', () => {
    expect(member('/d/1')).toEqual({
      node: '/d/1',
      array: 'e431ea6c:2305c279:b5b3009a:cbeac14c',
      name: 'shop:0',
      level: 'raid1',
      raidDevices: 2,
      events: 18,
      isSpare: false,
      state: 'AA',
      isClean: true,
      isReshaping: false,
    });
    const local = member('/d/1', ['shop:0', 'shop:0  (local to host shop)']);
    expect(local.name).toBe('shop:0');
  });

  it.each(['', 'mdadm: No md superblock detected on /dev/vdb.', 'Array UUID : ../../etc'])(
    'are none where mdadm says %j',
    (text) => expect(readRaidMember('/d/1', text)).toBeNull(),
  );

  it('make up a whole array', () => {
    const [array, ...others] = groupArrays([member('/d/1'), member('/d/2', two)]);
    expect(others).toEqual([]);
    expect(array).toMatchObject({ name: 'shop:0', present: 2, isDegraded: false, isClean: true });
  });

  it('are of two arrays where their UUIDs differ', () => {
    const other = member('/d/2', ['e431ea6c', '00000000']);
    const arrays = groupArrays([member('/d/1'), other]);
    expect(arrays.map(({ uuid, present }) => [uuid.slice(0, 8), present])).toEqual([
      ['00000000', 1],
      ['e431ea6c', 1],
    ]);
  });

  it.each<[string, Parameters<typeof groupArrays>[0], number]>([
    ['one is missing', [member('/d/1')], 1],
    ['the other remembers that it lost one', [member('/d/1', ['AA (', 'A. ('])], 1],
    ['one was thrown out', [member('/d/1', [': 18', ': 40']), member('/d/2', two)], 1],
    ['one is a spare', [member('/d/1'), member('/d/2', ['Active device 0', 'spare'])], 1],
    [
      'one is still being filled',
      [
        member('/d/1'),
        member('/d/2', two, ['Super Offset', 'Recovery Offset : 8\n   Super Offset']),
      ],
      1,
    ],
  ])('are too few where %s', (_, members, present) => {
    const [array] = groupArrays(members);
    expect(array).toMatchObject({ present, isDegraded: true });
  });

  it('are whole where one is the last event behind, as after a crash', () => {
    const late = [member('/d/1', [': 18', ': 19']), member('/d/2', two, [': clean', ': active'])];
    expect(groupArrays(late)[0]).toMatchObject({ isDegraded: false, isClean: false });
  });

  it.each([
    ['shop:0', ['/dev/md/0', '/dev/md0']],
    ['shop:boot', ['/dev/md/boot']],
    ['127', ['/dev/md/127', '/dev/md127']],
    [UUID, []],
    ['shop:../sda', []],
  ])('name their array %s by paths that its system has', (name, paths) => {
    expect(arrayPaths({ name, uuid: UUID })).toEqual([...paths, `/dev/disk/by-id/md-uuid-${UUID}`]);
  });

  it('that were thrown out are left out', () => {
    const [array] = groupArrays([member('/d/1', [': 18', ': 40']), member('/d/2', two)]);
    expect(array!.members.map(({ node }) => node)).toEqual(['/d/1']);
  });
});
