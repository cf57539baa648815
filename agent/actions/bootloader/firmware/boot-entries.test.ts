import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statSync } from 'node:fs';
import type { AttachedDisk } from '../../../target/offline/attached-disk.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import {
  entryName,
  filesStarted,
  planEntries,
  readEntries,
  whyNoEntry,
  writeOrder,
} from './boot-entries.ts';
import { readLoadOption } from './load-option.ts';
import { FakeFirmware } from './testing/fake-firmware.ts';

/** Of an OVMF of 2022 with a network card and without a disk, as it made them. */
const OVMF = {
  setup:
    '090100002c0055006900410070007000000004071400c9bdb87cebf8344faaea3ee4af6516a10406140021aa2c' +
    '4614760345836e8ab6f46623317fff0400',
  pxe:
    '0100000056005500450046004900200050005800450076003400200028004d00410043003a0035003200350034' +
    '00300030003100320033003400350036002900000002010c00d041030a00000000010106000003030b25005254' +
    '00123456000000000000000000000000000000000000000000000000000001030c1b0000000000000000000000' +
    '000000000000000000000000007fff04004eac0881119f594d850ee21a522c59b2',
  shell:
    '010000002c00450046004900200049006e007400650072006e0061006c0020005300680065006c006c00000004' +
    '071400c9bdb87cebf8344faaea3ee4af6516a10406140083a5047c3e9e1c4fad65e05268d0b4d17fff0400',
};
/** As efibootmgr 17 wrote it. */
const DEBIAN =
  '010000006200640065006200690061006e00000004012a0001000000000800000000000000000100000000002789' +
  '66b49bc94f16a4e5192da9b63bf00202040434005c004500460049005c00640065006200690061006e005c007300' +
  '680069006d007800360034002e0065006600690000007fff0400';
const LOADER = 'EFI/debian/shimx64.efi';
const [SETUP, PXE, SHELL, OURS] = [0, 1, 5, 6];

const volume = (change: Partial<Volume> = {}) =>
  ({
    ...{ name: 'partition 1 of /dev/vdb', disk: '/dev/vdb', partition: 1, layers: [] },
    ...{ startBytes: 0x800 * 512, bytes: 0x10000 * 512 },
    partitionUuid: 'b4668927-c99b-164f-a4e5-192da9b63bf0',
    ...change,
  }) as Volume;
const first = volume();
const mirror = volume({ disk: '/dev/vdc', partitionUuid: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b' });
const disks = { disks: [], volumes: [first, mirror] };
const wish = (its: Volume) => ({ volume: its, label: 'debian', file: LOADER });

let firmware: FakeFirmware;
beforeEach(() => {
  firmware = new FakeFirmware();
});
afterEach(() => firmware.close());

/** A firmware with these entries, which it tries in this order. */
async function starting(entries: Record<number, string>, order: readonly number[]) {
  for (const [number, bytes] of Object.entries(entries)) {
    firmware.has(entryName(Number(number)), `07000000${bytes}`);
  }
  firmware.has('BootOrder', `07000000${writeOrder(order).toString('hex')}`);
  return readEntries(firmware.variables);
}

const withFile = (file: string, rest = '') => {
  const text = (name: string) => Buffer.from(`${name}\0`, 'utf16le').toString('hex');
  const node = (name: string) => `0404${(4 + text(name).length / 2).toString(16)}00${text(name)}`;
  const path = DEBIAN.slice(40).replace(node('\\EFI\\debian\\shimx64.efi'), node(file));
  const head = Buffer.from(DEBIAN.slice(0, 40), 'hex');
  head.writeUInt16LE(path.length / 2, 4);
  return head.toString('hex') + path + rest;
};

describe('what a firmware starts', () => {
  it('is read of all that it tries, and of entries that are switched on', async () => {
    const boot = await starting({ 0: OVMF.setup, 1: OVMF.pxe, 6: DEBIAN, 7: 'ff' }, [1, 6, 9]);
    expect([...boot.entries.keys()]).toEqual([0, 1, 6, 7]);
    expect(boot.entries.get(7)?.option).toBeNull();
    expect([...filesStarted(boot, first)]).toEqual([LOADER.toLowerCase()]);
    expect([...filesStarted(boot, mirror)]).toEqual([]);
    expect([...filesStarted({ ...boot, order: [1] }, first)]).toEqual([]);
    const off = await starting({ 6: `00${DEBIAN.slice(2)}` }, [6]);
    expect([...filesStarted(off, first)]).toEqual([]);
  });

  it('is not this system where shim is told to start another program than GRUB', async () => {
    const told = (text: string) => DEBIAN + Buffer.from(text, 'utf16le').toString('hex');
    const updater = await starting({ 6: told('\\fwupdx64.efi') }, [6]);
    expect([...filesStarted(updater, first)]).toEqual([]);
    const marked = await starting({ 6: `${DEBIAN}5243` }, [6]);
    expect([...filesStarted(marked, first)]).toEqual([LOADER.toLowerCase()]);
  });

  it('differs by the partition of an MBR, whose signature is that of its disk', async () => {
    const mbr = DEBIAN.replace(
      '278966b49bc94f16a4e5192da9b63bf00202',
      `010e5c5e${'0'.repeat(24)}0101`,
    );
    const boot = await starting({ 6: mbr }, [6]);
    expect([...filesStarted(boot, volume({ partitionUuid: '5e5c0e01-01' }))]).toHaveLength(1);
    const second = volume({ partitionUuid: '5e5c0e01-02', partition: 2 });
    expect([...filesStarted(boot, second)]).toEqual([]);
  });
});

describe('an entry that is to be added', () => {
  it('is as efibootmgr would write it, behind the network that a rescue system comes from', async () => {
    const boot = await starting({ 0: OVMF.setup, 1: OVMF.pxe, 5: OVMF.shell }, [SETUP, PXE, SHELL]);
    const { added, order } = await planEntries(disks, boot, [wish(first)]);
    expect(added.map(({ number, bytes }) => [number, bytes.toString('hex')])).toEqual([
      [2, DEBIAN],
    ]);
    expect(order).toEqual([SETUP, PXE, 2, SHELL]);
  });

  it('is the first where nothing is, and where no network is tried before', async () => {
    const none = await planEntries(disks, await readEntries(firmware.variables), [wish(first)]);
    expect([none.added[0]!.number, none.order]).toEqual([0, [0]]);
    const boot = await starting({ 1: OVMF.pxe, 5: OVMF.shell }, [SHELL, PXE]);
    expect((await planEntries(disks, boot, [wish(first)])).order).toEqual([0, SHELL, PXE]);
  });

  it('takes the place of one for the same system that starts nothing, which stays', async () => {
    const dead = DEBIAN.replace('278966b4', '00000000');
    const boot = await starting({ 1: OVMF.pxe, 5: OVMF.shell, 6: dead }, [PXE, SHELL, OURS]);
    expect((await planEntries(disks, boot, [wish(first)])).order).toEqual([PXE, SHELL, 0, OURS]);
    const gone = await starting({ 6: withFile('\\EFI\\debian\\grub.efi') }, [SHELL, OURS]);
    expect((await planEntries(disks, gone, [wish(first)])).order).toEqual([SHELL, 0, OURS]);
  });

  it('comes after that of the other disk of a mirror', async () => {
    const boot = await starting({ 1: OVMF.pxe, 6: DEBIAN }, [PXE, OURS]);
    expect((await planEntries(disks, boot, [wish(mirror)])).order).toEqual([PXE, OURS, 0]);
    await firmware.variables.remove(entryName(OURS));
    const both = await planEntries(disks, await starting({}, [PXE]), [wish(first), wish(mirror)]);
    expect(both.added.map(({ number }) => number)).toEqual([0, 2]);
    expect(both.order).toEqual([PXE, 0, 2]);
    expect(readLoadOption(both.added[1]!.bytes)?.file).toBe('\\EFI\\debian\\shimx64.efi');
  });

  it('is the one that is there, where only the order lacks it', async () => {
    const boot = await starting({ 5: OVMF.shell, 6: DEBIAN }, [SHELL]);
    const { added, order } = await planEntries(disks, boot, [wish(first)]);
    expect(added.map(({ number, bytes }) => [number, bytes.toString('hex')])).toEqual([
      [OURS, DEBIAN],
    ]);
    expect(order).toEqual([OURS, SHELL]);
  });
});

describe('a disk that no entry is written for', () => {
  const NOT_HERE = 'the EFI partition lies on no disk of this machine';
  const why = (device: object, its = first) =>
    whyNoEntry({ disks: [{ given: '/dev/vdb', device } as unknown as AttachedDisk] }, its);

  it('is an image, and one that the kernel makes of other things', async () => {
    expect(await why({ number: null })).toBe(NOT_HERE);
    const { rdev } = statSync('/dev/loop0');
    expect(await why({ number: { major: rdev >> 8, minor: rdev & 0xff } })).toBe(NOT_HERE);
  });

  it('is one whose partition has no name, or lies in something else', async () => {
    const disk = { number: { major: 254, minor: 0 } };
    expect(await why(disk, volume({ partitionUuid: null }))).toBe(NOT_HERE);
    expect(await why(disk, volume({ layers: ['RAID1 shop:0'] }))).toBe(NOT_HERE);
    expect(await why(disk, volume({ disk: null }))).toBe(NOT_HERE);
  });
});
