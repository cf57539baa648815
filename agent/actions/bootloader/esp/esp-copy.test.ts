import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { CommandResult } from '../../../process/command.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import { seenBy } from '../../diagnostics/testing/probe-fixture.ts';
import { EspCopy, type EspFiles } from './esp-copy.ts';

const MIB = 1024 ** 2;

let folder: string;
let directory: string;
let image: string;
let ran: string[];
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'ivesp-')));
  directory = join(folder, 'job');
  image = join(folder, 'image');
  ran = [];
  mkdirSync(directory);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', directory]);
  execFileSync('truncate', ['--size=100M', image]);
  execFileSync('mkfs.fat', ['-F', '32', image]);
});
afterEach(() => {
  execFileSync('umount', [directory]);
  rmSync(folder, { recursive: true, force: true });
});

function put(name: string, bytes: number): void {
  const own = join(folder, 'own');
  execFileSync('truncate', [`--size=${bytes}`, own]);
  execFileSync('mcopy', ['-i', image, '-o', own, `::/${name}`]);
}

function look<T>(body: (files: EspFiles) => T | Promise<T>): Promise<T> {
  const run = async (argv: readonly string[]): Promise<CommandResult> => {
    ran.push(argv[argv.indexOf('--') + 1]!);
    const { exitStatus, out, err } = await seenBy(argv);
    return { exitStatus, out, err, signal: null, timedOut: false, truncated: false };
  };
  const context = { directory, run, progress() {}, signal: new AbortController().signal };
  const volume = { type: 'vfat', bytes: statSync(image).size, node: image, name: 'esp' } as Volume;
  return EspCopy.with(context, volume, async (copy) => body(await copy.files()));
}

const paths = () => look((files) => files.paths);

it('the files of an EFI partition are found, hidden ones too', async () => {
  execFileSync('mmd', ['-i', image, '::/EFI']);
  put('EFI/grub.cfg', 1234567);
  put('EFI/BCD', 12);
  execFileSync('mattrib', ['-i', image, '+h', '::/EFI/BCD']);
  expect(await paths()).toEqual(['efi/bcd', 'efi/grub.cfg']);
});

it('an EFI partition without a file is looked at as any other', async () => {
  expect(await paths()).toEqual([]);
});

it.each([false, true])(
  'files that take no room in the copy are not written out where there is none (hidden: %s)',
  async (isHidden) => {
    put('zeros', 20 * MIB);
    put('more', 20 * MIB);
    if (isHidden) execFileSync('mattrib', ['-i', image, '+h', '::/zeros', '::/more']);
    await expect(paths()).rejects.toMatchObject({
      reason: 'no_scratch_space',
      message: expect.stringMatching(/files of the EFI partition need 419\d{5} bytes/),
    });
    expect(ran).not.toContain('mcopy');
  },
);

it('a file that is larger than any loader is not read into memory', async () => {
  execFileSync('umount', [directory]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512m', 'tmpfs', directory]);
  execFileSync('truncate', ['--size=200M', image]);
  execFileSync('mkfs.fat', ['-F', '32', image]);
  put('shim.efi', 3);
  put('huge.efi', 129 * MIB);
  expect(await look((files) => files.read('SHIM.EFI'))).toEqual(Buffer.alloc(3));
  await expect(look((files) => files.read('huge.efi'))).rejects.toMatchObject({
    reason: 'boot_not_supported',
    message: expect.stringContaining('huge.efi on the EFI partition has 135266304 bytes'),
  });
});
