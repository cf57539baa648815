import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TargetFiles } from '../../target/target-files.ts';
import { foreignBoot } from './foreign-boot.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivf-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function foreign(paths: readonly string[], release = 'ID=debian\n'): Promise<string | null> {
  for (const path of ['etc/os-release', ...paths]) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), path === 'etc/os-release' ? release : '');
  }
  return foreignBoot(new TargetFiles(folder));
}

const MENU = 'boot/grub2/grub.cfg';
const ENTRY = 'boot/loader/entries/0123-6.4.conf';

it.each<[string, string[], string]>([
  [MENU, [MENU], '/boot/grub2'],
  [ENTRY, [ENTRY], '/boot/loader/entries'],
  ['its family', [], 'the family rhel'],
])('a boot that is not made here is known by %s', async (_, paths, sign) => {
  const release = paths.length === 0 ? 'ID="rocky"\nID_LIKE="rhel centos fedora"\n' : undefined;
  expect(await foreign(paths, release)).toContain(sign);
});

it.each([
  ['one that has its programs', [MENU, ENTRY, 'usr/sbin/mkinitramfs']],
  ['one that lacks them and shows nothing else', ['boot/grub/grub.cfg']],
  ['entries of another loader beside them', [ENTRY, 'usr/sbin/grub-mkconfig']],
])('a boot that is made here is not taken for another: %s', async (_, paths) => {
  expect(await foreign(paths)).toBeNull();
});
