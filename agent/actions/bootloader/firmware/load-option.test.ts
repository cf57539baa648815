import { describe, expect, it } from 'vitest';
import { partitionSignature, readLoadOption, writeLoadOption } from './load-option.ts';

/** As efibootmgr 17 wrote them for two disks, and how it shows them. */
const GPT = {
  shown:
    'Boot0000* debian HD(1,GPT,b4668927-c99b-164f-a4e5-192da9b63bf0,0x800,0x10000)/File(\\EFI\\debian\\shimx64.efi)',
  bytes:
    '010000006200640065006200690061006e00000004012a0001000000000800000000000000000100000000002789' +
    '66b49bc94f16a4e5192da9b63bf00202040434005c004500460049005c00640065006200690061006e005c007300' +
    '680069006d007800360034002e0065006600690000007fff0400',
};
const MBR = {
  shown: 'Boot0000* Débian HD(2,MBR,0x5e5c0e01,0x10800,0x5000)/File(\\EFI\\debian\\grubx64.efi)',
  bytes:
    '0100000062004400e9006200690061006e00000004012a0002000000000801000000000000500000000000000' +
    '10e5c5e0000000000000000000000000101040434005c004500460049005c00640065006200690061006e005c00' +
    '67007200750062007800360034002e0065006600690000007fff0400',
};
const bytesOf = ({ bytes }: { bytes: string }) => Buffer.from(bytes, 'hex');

describe('an entry of a firmware', () => {
  it('is written byte for byte as efibootmgr writes it', () => {
    const gpt = {
      ...{ number: 1, start: 0x800, sectors: 0x10000 },
      signature: partitionSignature('b4668927-c99b-164f-a4e5-192da9b63bf0')!,
    };
    const made = writeLoadOption('debian', gpt, '\\EFI\\debian\\shimx64.efi');
    expect(made.toString('hex')).toBe(GPT.bytes);
    const mbr = {
      ...{ number: 2, start: 0x10800, sectors: 0x5000 },
      signature: partitionSignature('5e5c0e01-02')!,
    };
    const other = writeLoadOption('Débian', mbr, '\\EFI\\debian\\grubx64.efi');
    expect(other.toString('hex')).toBe(MBR.bytes);
  });

  it('is read as efibootmgr shows it', () => {
    expect(readLoadOption(bytesOf(GPT))).toEqual({
      ...{
        isActive: true,
        label: 'debian',
        isNetwork: false,
        isApplication: false,
        data: Buffer.alloc(0),
      },
      file: '\\EFI\\debian\\shimx64.efi',
      partition: {
        ...{ number: 1, start: 0x800, sectors: 0x10000 },
        signature: partitionSignature('B4668927-C99B-164F-A4E5-192DA9B63BF0'),
      },
    });
    expect(readLoadOption(bytesOf(MBR))?.partition?.signature).toEqual(
      partitionSignature('5e5c0e01-01'),
    );
  });

  it('may be switched off, and may say more to its program', () => {
    const off = bytesOf(GPT);
    off[0] = 0;
    const option = readLoadOption(Buffer.concat([off, Buffer.from('RC')]));
    expect([option?.isActive, option?.data.toString()]).toEqual([false, 'RC']);
  });

  it('is none where it is cut off, or its path does not hold together', () => {
    const whole = bytesOf(GPT);
    for (let bytes = 0; bytes < whole.length; bytes++) {
      expect(readLoadOption(whole.subarray(0, bytes))).toBeNull();
    }
    const [begin] = [6 + 2 * 'debian\0'.length];
    for (const length of [0, 3, 0xffff]) {
      const broken = bytesOf(GPT);
      broken.writeUInt16LE(length, begin + 2);
      expect(readLoadOption(broken)).toBeNull();
    }
  });

  it('knows no partition that has no name of its own', () => {
    expect([null, '', '1234', '5e5c0e01', 'zzzz0e01-01'].map(partitionSignature)).toEqual([
      ...[null, null, null, null, null],
    ]);
  });
});
