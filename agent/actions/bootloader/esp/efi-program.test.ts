import { describe, expect, it } from 'vitest';
import { isEfiProgram } from './efi-program.ts';

/** The least of a program: headers and one section of `bytes`. */
function program(bytes = 64): Buffer {
  const made = Buffer.alloc(0x200 + bytes, 0x90);
  made.fill(0, 0, 0x200);
  made.write('MZ', 0, 'latin1');
  made.writeUInt32LE(0x80, 0x3c);
  made.write('PE\0\0', 0x80, 'latin1');
  made.writeUInt16LE(0x8664, 0x84);
  made.writeUInt16LE(1, 0x86);
  made.writeUInt16LE(0xf0, 0x94);
  const section = 0x80 + 24 + 0xf0;
  made.writeUInt32LE(bytes, section + 16);
  made.writeUInt32LE(0x200, section + 20);
  return made;
}

describe('a program for the firmware', () => {
  it('is one where headers and sections are all there', () => {
    expect(isEfiProgram(program())).toBe(true);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('MZ is how it begins, and no more than that is right')],
    ['a piece of one', program().subarray(0, 0x210)],
    ['its headers alone', program().subarray(0, 0x90)],
    ['zeros of its length', Buffer.alloc(0x240)],
  ])('is none where there is %s', (_, bytes) => {
    expect(isEfiProgram(bytes)).toBe(false);
  });

  it('is none for another processor', () => {
    const other = program();
    other.writeUInt16LE(0xaa64, 0x84);
    expect(isEfiProgram(other)).toBe(false);
  });

  it('is none where its headers lead beyond its end', () => {
    const far = program();
    far.writeUInt32LE(0xffff_fff0, 0x3c);
    expect(isEfiProgram(far)).toBe(false);
  });
});
