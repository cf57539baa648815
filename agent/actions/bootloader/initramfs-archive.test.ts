import { gzipSync, zstdCompressSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { initramfsFault } from './initramfs-archive.ts';

/** An archive as cpio(1) makes it with `--format=newc`. */
function archive(files: Readonly<Record<string, Buffer>>): Buffer {
  const entries = Object.entries({ ...files, 'TRAILER!!!': Buffer.alloc(0) });
  const padded = (bytes: Buffer) =>
    Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  return Buffer.concat(
    entries.flatMap(([name, content]) => {
      const fields = [1, 0o100644, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
      const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
      return [padded(Buffer.from(`${head}${name}\0`)), padded(content)];
    }),
  );
}

const microcode = archive({ 'kernel/x86/microcode/GenuineIntel.bin': randomBytes(3000) });
const main = archive({ init: randomBytes(200_000), 'scripts/local': Buffer.from('#!/bin/sh') });

describe.each(['zstd', 'gzip'] as const)('an initramfs packed by %s', (by) => {
  const packed = by === 'zstd' ? zstdCompressSync(main) : gzipSync(main);
  const whole = Buffer.concat([microcode, Buffer.alloc(512), packed]);

  it('is sound where all of it is there', async () => {
    expect(await initramfsFault(whole)).toBeNull();
    expect(await initramfsFault(packed)).toBeNull();
  });

  it('is cut short wherever it is cut', async () => {
    for (const length of [100, microcode.length - 600, whole.length - 40_000, whole.length - 9]) {
      expect(await initramfsFault(whole.subarray(0, length)), `${length}`).not.toBeNull();
    }
  });
});

describe('an initramfs', () => {
  it('need not be packed', async () => {
    expect(await initramfsFault(main)).toBeNull();
    expect(await initramfsFault(main.subarray(0, 100_000))).toBe('it is cut short');
  });

  it('that holds nothing is none', async () => {
    expect(await initramfsFault(Buffer.alloc(0))).toBe('it is empty');
    expect(await initramfsFault(Buffer.alloc(4096))).toBe('it is empty');
    expect(await initramfsFault(zstdCompressSync(Buffer.alloc(0)))).toBe('it is empty');
  });

  it('packed in another way is not judged', async () => {
    expect(await initramfsFault(Buffer.from('fd377a585a000004', 'hex'))).toBeNull();
  });

  it('with lengths that lead nowhere is cut short', async () => {
    const wrong = Buffer.from(main);
    wrong.write('ffffffff', 54, 'latin1');
    expect(await initramfsFault(wrong)).toBe('it is cut short');
    wrong.write('zzzzzzzz', 54, 'latin1');
    expect(await initramfsFault(wrong)).toBe('it is cut short');
  });
});
