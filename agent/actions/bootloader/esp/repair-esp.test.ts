import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { must } from '../../../../test/harness/process.ts';
import { bootsToLogin } from '../../../../test/lab/index.ts';
import { disk, jobs, LIMIT_MS, useBootDisk } from '../testing/boot-disk.ts';

useBootDisk('uefi');

async function espBytes(): Promise<string> {
  const { offset, size } = disk.partition('esp');
  return createHash('sha256')
    .update(await disk.readBytes(offset, size))
    .digest('hex');
}

const content = async (file: string) => {
  const { offset } = disk.partition('esp');
  return must(['sh', '-c', `mtype -i "$1@@${offset}" "$2" | sha256sum`, 'sh', disk.image, file]);
};

const has = async (file: string) => (await disk.mtools('mdir', '-b', file)).status === 0;

/** A loader of another system, which is no program that anybody could make anew. */
async function withOtherLoader(): Promise<string[]> {
  await disk.mtoolsOk('mmd', '::/EFI/Microsoft', '::/EFI/Microsoft/Boot');
  await disk.mtoolsOk('mcopy', '/bin/true', '::/EFI/Microsoft/Boot/bootmgfw.efi');
  await disk.toEsp('::/EFI/Microsoft/Boot/BCD', 'regf of Windows');
  return ['::/EFI/Microsoft/Boot/bootmgfw.efi', '::/EFI/Microsoft/Boot/BCD'];
}

describe('an EFI partition without what starts the system', () => {
  it(
    'gets the files of the system back, every other file stays, and an undo gives every byte back',
    async () => {
      const others = await withOtherLoader();
      await disk.mtoolsOk('mdel', '::/EFI/debian/grubx64.efi', '::/EFI/debian/shimx64.efi');
      await disk.mtoolsOk('mdeltree', '::/EFI/BOOT');
      const before = await Promise.all([...others, '::/EFI/debian/mmx64.efi'].map(content));
      const broken = await espBytes();
      const { id, plan, result } = await jobs.repair(['loader']);
      expect(result?.files).toEqual([
        '/boot/efi/EFI/debian/shimx64.efi',
        '/boot/efi/EFI/debian/grubx64.efi',
        '/boot/efi/EFI/BOOT/BOOTX64.EFI',
        '/boot/efi/EFI/BOOT/grubx64.efi',
        '/boot/efi/EFI/BOOT/mmx64.efi',
        '/boot/efi/EFI/BOOT/fbx64.efi',
      ]);
      expect(plan.steps[1]!.changes[0]).toEqual({
        type: 'command',
        argv: ['cp', '/usr/lib/shim/shimx64.efi.signed', '/boot/efi/EFI/debian/shimx64.efi'],
      });
      const after = await Promise.all([...others, '::/EFI/debian/mmx64.efi'].map(content));
      expect(after).toEqual(before);
      expect(await has('::/EFI/BOOT/BOOTX64.EFI')).toBe(true);
      if (isWhole) await bootsToLogin(disk.image, 'uefi');
      await jobs.undo(id);
      expect(await espBytes()).toBe(broken);
    },
    LIMIT_MS,
  );

  it.runIf(isWhole)(
    'is not written to where it is damaged, or has no room',
    { timeout: LIMIT_MS },
    async () => {
      await disk.mtoolsOk('mdeltree', '::/EFI/BOOT', '::/EFI/debian');
      const room = 64 * 1024 * 1024 - 2 * 1024 * 1024;
      await must([
        'sh',
        '-c',
        `head -c ${room - 1024 * 1024} /dev/zero > "$1"`,
        'sh',
        `${disk.folder}/big`,
      ]);
      await disk.mtoolsOk('mcopy', `${disk.folder}/big`, '::/big');
      const full = await espBytes();
      const planned = await jobs.plan();
      const done = await jobs.order({ plan: planned.bytes });
      expect([done.outcome, done.reason], done.said).toEqual(['failed', 'esp_full']);
      expect(await espBytes()).toBe(full);
      await disk.writeBytes(disk.partition('esp').offset + 65, Buffer.from([1]));
      const refused = await jobs.order({ mode: 'plan' });
      expect([refused.outcome, refused.reason]).toEqual(['failed', 'filesystem_damaged']);
    },
  );

  it.runIf(isWhole)(
    'keeps a loader at the removable path that is not its own',
    { timeout: LIMIT_MS },
    async () => {
      await disk.mtoolsOk('mdeltree', '::/EFI/BOOT');
      await disk.mtoolsOk('mmd', '::/EFI/BOOT');
      const foreign = await disk.inside((system) =>
        Promise.resolve(system.path('usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi')).then((file) =>
          disk.mtoolsOk('mcopy', file, '::/EFI/BOOT/BOOTX64.EFI'),
        ),
      );
      expect(foreign).toBeUndefined();
      const before = await content('::/EFI/BOOT/BOOTX64.EFI');
      await disk.mtoolsOk('mdel', '::/EFI/debian/grubx64.efi');
      const { result } = await jobs.repair(['loader']);
      expect(result?.files).toEqual(['/boot/efi/EFI/debian/grubx64.efi']);
      expect(await content('::/EFI/BOOT/BOOTX64.EFI')).toBe(before);
    },
  );
});
