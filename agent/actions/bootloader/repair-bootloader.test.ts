import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it, type TestContext } from 'vitest';
import { isWhole } from '../../../test/fixtures/matrix.ts';
import { bootsToLogin } from '../../../test/lab/index.ts';
import { must } from '../../../test/harness/process.ts';
import { disk, jobs, LIMIT_MS, takeBootDisk, useBootDisk } from './testing/boot-disk.ts';
import { bootStateOf } from './testing/boot-state.ts';

useBootDisk('bios-gpt');

/** The fault laboratory takes each of these through the whole product, a sample of them by default. */
const onlyWithAll = ({ skip }: TestContext) => skip(!isWhole, 'only with --all');

const bootState = () => bootStateOf(disk);

async function expectRepairedAndPutBack(
  steps: string[],
  parameters: Record<string, string> = {},
): Promise<void> {
  const was = await bootState();
  const { id } = await jobs.repair(steps, parameters);
  await jobs.undo(id);
  expect(await bootState()).toEqual(was);
}

describe('what starts a system on a disk', () => {
  it(
    'is left alone where nothing is wrong',
    async (test) => {
      onlyWithAll(test);
      expect((await jobs.plan()).steps).toEqual([]);
    },
    LIMIT_MS,
  );

  it(
    'gets its boot code back',
    async () => {
      await disk.writeBytes(0, Buffer.alloc(440));
      await expectRepairedAndPutBack(['loader']);
    },
    LIMIT_MS,
  );

  it(
    'gets its core image back',
    async (test) => {
      onlyWithAll(test);
      const code = await disk.readBytes(0, 512);
      await disk.writeBytes(Number(code.readBigUInt64LE(0x5c)) * 512, Buffer.alloc(64 * 512));
      await expectRepairedAndPutBack(['loader']);
    },
    LIMIT_MS,
  );

  it(
    'gets a core image that can read the partition table',
    async (test) => {
      onlyWithAll(test);
      const core = await disk.inside(async (system) => {
        const words = ['--prefix=(,gpt2)/boot/grub', '--output=/tmp/core.img', 'biosdisk', 'ext2'];
        await system.ok(['grub-mkimage', '--format=i386-pc', ...words]);
        return readFileSync(system.path('tmp/core.img'));
      });
      // As grub-bios-setup(8) lays it down: the list of its sectors, and the length of the redundancy.
      const placed = Buffer.alloc((Math.ceil(core.length / 512) + 1) * 512);
      core.copy(placed);
      const { offset } = disk.partition('bios-boot');
      placed.writeBigUInt64LE(BigInt(offset / 512 + 1), 0x1f4);
      placed.writeUInt16LE(placed.length / 512 - 1, 0x1fc);
      placed.writeUInt32LE(placed.length - core.length, 512 + 0x10);
      await disk.writeBytes(offset, placed);
      await expectRepairedAndPutBack(['loader']);
      expect((await disk.readBytes(offset, placed.length)).equals(placed)).toBe(true);
    },
    LIMIT_MS,
  );

  it(
    'gets a menu that names its own root, and an initramfs that is whole',
    async (test) => {
      onlyWithAll(test);
      await disk.inside(async (system) => {
        system.edit('boot/grub/grub.cfg', (text) =>
          text.replaceAll(/root=UUID=[\w-]+/g, 'root=UUID=deadbeef-0000-4000-8000-000000000000'),
        );
        const [initramfs] = (await system.ok(['sh', '-c', 'ls /boot/initrd.img-*']))
          .trim()
          .split('\n');
        truncateSync(system.path(initramfs!.slice(1)), 4 * 1024 * 1024);
        // Of this machine's drivers alone it would be of no use to its own.
        system.edit('etc/initramfs-tools/initramfs.conf', (text) =>
          text.replace('MODULES=most', 'MODULES=dep'),
        );
        system.write('etc/initramfs-tools/conf.d/driver-policy', 'MODULES="dep"\n');
      });
      await expectRepairedAndPutBack(['initramfs', 'config']);
    },
    LIMIT_MS,
  );

  it(
    'is found by GRUB in a subvolume, and with /boot on a file system of its own',
    async (test) => {
      onlyWithAll(test);
      for (const layout of ['bios-btrfs', 'bios-gpt-boot'] as const) {
        await jobs.close();
        await takeBootDisk(layout);
        const menu = () => disk.look((system) => system.read('boot/grub/grub.cfg'));
        const before = await menu();
        const parameters = { parts: ['loader', 'config'] };
        const { bytes } = await jobs.plan(parameters);
        const done = await jobs.order({ plan: bytes, parameters });
        expect([done.outcome, done.result?.outcome], done.said).toEqual(['succeeded', 'repaired']);
        expect(await menu()).toBe(before);
        await bootsToLogin(disk.image, 'bios');
      }
    },
    2 * LIMIT_MS,
  );

  it(
    'starts another kernel from now on, where that is asked for',
    async (test) => {
      onlyWithAll(test);
      const kernel = await disk.look(async (system) => {
        const names = await system.ok(['sh', '-c', 'ls -v /boot/vmlinuz-*']);
        return names.split('\n')[0]!.slice('/boot/vmlinuz-'.length);
      });
      await expectRepairedAndPutBack(['defaults', 'config'], { kernel });
      // Longer than what is read of most files, and no UTF-8.
      const own = Buffer.from(`${'# f\xfcr uns\n'.repeat(32 * 1024)}GRUB_TIMEOUT=1\n`, 'latin1');
      await disk.inside((system) => system.write('etc/default/grub', own));
      await jobs.repair(['defaults', 'config'], { kernel });
      const after = await disk.look((system) => readFileSync(system.path('etc/default/grub')));
      expect(after.subarray(0, own.length).equals(own)).toBe(true);
      expect(after.toString('latin1', own.length)).toMatch(/^GRUB_DEFAULT="[^"\n]+"\n$/);
      const missing = await jobs.order({ mode: 'plan', parameters: { kernel: '9.9' } });
      expect([missing.outcome, missing.reason]).toEqual(['failed', 'kernel_missing']);
    },
    LIMIT_MS,
  );

  it(
    'keeps no choice that its menu has not',
    async (test) => {
      onlyWithAll(test);
      await disk.inside((system) => {
        system.edit('boot/grub/grub.cfg', (text) =>
          text.replace('set default="0"', 'set default="${saved_entry}"'),
        );
        const block = '# GRUB Environment Block\nsaved_entry=gone\n'.padEnd(1024, '#');
        system.write('boot/grub/grubenv', block);
      });
      await expectRepairedAndPutBack(['config']);
      await disk.inside((system) => truncateSync(system.path('boot/grub/grubenv'), 100));
      await expectRepairedAndPutBack(['config']);
    },
    LIMIT_MS,
  );

  it(
    'is put back where the new one does not hold',
    async () => {
      await disk.inside((system) => {
        rmSync(system.path('boot/grub/grub.cfg'));
        writeFileSync(system.path('etc/grub.d/10_linux'), '#!/bin/sh\nexit 0\n');
      });
      const was = await bootState();
      const done = await jobs.order({ plan: (await jobs.plan()).bytes });
      expect([done.outcome, done.result?.outcome]).toEqual(['failed', 'rolled_back']);
      expect(done.said).toContain('grub.cfg starts no kernel');
      expect(await bootState()).toEqual(was);
    },
    LIMIT_MS,
  );

  it(
    'is not put back over what somebody changed since',
    async (test) => {
      onlyWithAll(test);
      await disk.inside(async (system) => rmSync(system.path('boot/grub/grub.cfg')));
      const done = await jobs.order({ plan: (await jobs.plan()).bytes });
      await disk.inside(async (system) => writeFileSync(system.path('boot/vmlinuz-9.9'), 'new'));
      const was = await bootState();
      const undone = await jobs.order({ mode: 'undo', undoes: done.id });
      expect([undone.outcome, undone.reason]).toEqual(['failed', 'changed_since']);
      expect(await bootState()).toEqual(was);
    },
    LIMIT_MS,
  );

  it(
    'is not repaired by a plan of before somebody changed it',
    async (test) => {
      onlyWithAll(test);
      await disk.writeBytes(0, Buffer.alloc(440));
      const planned = await jobs.plan();
      await disk.inside((system) => writeFileSync(system.path('boot/grub/custom.cfg'), 'new'));
      const was = await bootState();
      const done = await jobs.order({ plan: planned.bytes });
      expect([done.outcome, done.reason]).toEqual(['failed', 'changed_since_plan']);
      expect(await bootState()).toEqual(was);
    },
    LIMIT_MS,
  );

  it(
    'is made anew in the parts that are ordered, and the plan says what is left',
    async (test) => {
      onlyWithAll(test);
      await disk.writeBytes(0, Buffer.alloc(440));
      await disk.inside(async (system) => rmSync(system.path('boot/grub/grub.cfg')));
      const was = await bootState();
      const parameters = { parts: ['config'] };
      const { bytes, plan, steps } = await jobs.plan(parameters);
      expect(steps).toEqual(['save', 'config', 'verify']);
      expect(plan.findings).toEqual([
        'There is no grub.cfg.',
        'Left, since it is not ordered: The disk does not begin with the boot code of GRUB.',
      ]);
      const done = await jobs.order({ plan: bytes, parameters });
      expect([done.outcome, done.result?.files], done.said).toEqual([
        'succeeded',
        ['/boot/grub/grub.cfg'],
      ]);
      expect((await disk.readBytes(0, 440)).every((byte) => byte === 0)).toBe(true);
      await jobs.undo(done.id);
      expect(await bootState()).toEqual(was);
    },
    LIMIT_MS,
  );

  it(
    'gets a menu and no loader where the disk is one file system, which that would be written into',
    async (test) => {
      onlyWithAll(test);
      const { offset, size } = disk.partition('root');
      const whole = `${disk.folder}/whole.img`;
      const blocks = [`skip=${offset}`, `count=${size}`, 'iflag=skip_bytes,count_bytes'];
      const words = [`if=${disk.image}`, `of=${whole}`, 'bs=1M', ...blocks];
      await must(['dd', ...words, 'conv=sparse', 'status=none']);
      await must(['debugfs', '-w', '-R', 'rm /boot/grub/grub.cfg', whole]);
      const head = () => must(['head', '--bytes=1024', whole]);
      const start = await head();
      const target = { disk: whole };
      const refused = await jobs.order({ mode: 'plan', target, parameters: { parts: ['loader'] } });
      expect([refused.outcome, refused.reason]).toEqual(['failed', 'boot_not_supported']);
      expect(refused.said).toContain('no partition table');
      const { bytes, plan, steps } = await jobs.planOf(await jobs.order({ mode: 'plan', target }));
      expect(steps).toEqual(['save', 'config', 'verify']);
      expect(plan.findings.join()).toContain('no partition table');
      const done = await jobs.order({ target, plan: bytes });
      expect([done.outcome, done.result?.outcome], done.said).toEqual(['succeeded', 'repaired']);
      const menu = await must(['debugfs', '-R', 'cat /boot/grub/grub.cfg', whole]);
      expect(menu).toContain('root=UUID=');
      expect(await head()).toBe(start);
      const again = await jobs.planOf(await jobs.order({ mode: 'plan', target }));
      expect([again.steps, again.plan.summary]).toEqual([
        [],
        'Nothing to do in what is looked at; the findings say what is left.',
      ]);
      const undone = await jobs.order({ target, mode: 'undo', undoes: done.id });
      expect([undone.outcome, undone.result?.outcome], undone.said).toEqual([
        'succeeded',
        'restored',
      ]);
      expect(await must(['debugfs', '-R', 'stat /boot/grub/grub.cfg', whole])).not.toContain(
        'Inode',
      );
    },
    LIMIT_MS,
  );
});
