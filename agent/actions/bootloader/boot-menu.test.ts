import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TargetFiles } from '../../target/target-files.ts';
import { menuFaults } from './boot-menu.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivm-'));
  mkdirSync(join(folder, 'boot/grub'), { recursive: true });
  writeFileSync(join(folder, 'boot/vmlinuz-1'), 'kernel');
});
afterEach(() => rmSync(folder, { recursive: true }));

type Root = Parameters<typeof menuFaults>[2];
const lvm = {
  ...{ layers: ['RAID1 shop:0', 'LVM'], paths: ['/dev/shop/root', '/dev/mapper/shop-root'] },
  ...{ uuid: 'aa-bb', label: null, partitionUuid: null },
} as unknown as Root;
const luks = { ...lvm, layers: ['LUKS'], paths: ['/dev/mapper/luks-1'] };
const plain = { ...lvm, layers: [], paths: [] };

function faults(root: Root, named: string): Promise<string[]> {
  writeFileSync(join(folder, 'boot/grub/grub.cfg'), `linux /vmlinuz-1 root=${named} ro\n`);
  return menuFaults(new TargetFiles(folder), [root], root);
}

describe('the root that a boot menu names', () => {
  it.each([
    ['a logical volume by either of its names', lvm, '/dev/mapper/shop-root'],
    ['a logical volume by either of its names', lvm, '/dev/shop/root'],
    ['a logical volume by its file system', lvm, 'UUID=AA-BB'],
    ['an encrypted volume by a name of its own crypttab', luks, '/dev/mapper/vda3_crypt'],
    ['a partition by the name that its kernel gives it', plain, '/dev/sda1'],
  ])('is right for %s', async (_, root, named) => {
    expect(await faults(root, named)).toEqual([]);
  });

  it.each([
    ['a logical volume of another group', lvm, '/dev/mapper/old-root'],
    ['a mapping of the job that made the menu', lvm, '/dev/mapper/intervene-c6fe5f0f1f05-2'],
    ['a mapping by its number', luks, '/dev/dm-2'],
    ['an array that a job has started', plain, '/dev/md511'],
    ['a loop device', plain, '/dev/loop10p2'],
  ])('is wrong for %s', async (_, root, named) => {
    const text = `grub.cfg names ${named} as the root, which is not this system's.`;
    expect(await faults(root, named)).toEqual([text]);
  });
});
