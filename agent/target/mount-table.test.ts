import { describe, expect, it } from 'vitest';
import { mountOf, parseMounts, readMounts } from './mount-table.ts';

const TABLE = [
  '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard',
  '23 22 0:21 / /proc rw - proc proc rw',
  String.raw`40 22 7:3 / /mnt/my\040disk ro,nosuid shared:9 master:2 - ext4 /dev/loop3 ro`,
  '41 22 0:50 / /run rw - tmpfs tmpfs rw,size=1k',
  '42 41 0:51 /a /run rw - overlay overlay rw,lowerdir=/l,upperdir=/u/per,workdir=/w',
].join('\n');

describe('the mount table', () => {
  it('reads each line of mountinfo, also with optional fields and escaped names', () => {
    const mounts = parseMounts(TABLE);
    expect(mounts).toHaveLength(5);
    expect(mounts[2]).toMatchObject({
      major: 7,
      minor: 3,
      mountPoint: '/mnt/my disk',
      type: 'ext4',
    });
    expect(mounts[4]?.options.get('upperdir')).toBe('/u/per');
  });

  it('finds the nearest mount above a path, and of several at one place the last', () => {
    const mounts = parseMounts(TABLE);
    expect(mountOf(mounts, '/mnt/my disk/x')?.minor).toBe(3);
    expect(mountOf(mounts, '/mnt/my diskette')?.minor).toBe(0);
    expect(mountOf(mounts, '/run')?.type).toBe('overlay');
    expect(mountOf(mounts, '/etc')?.mountPoint).toBe('/');
  });

  it('knows the root of this machine', async () => {
    expect(mountOf(await readMounts(), '/')?.mountPoint).toBe('/');
  });
});
