import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { disk, jobs, LIMIT_MS, useBootDisk } from './testing/boot-disk.ts';
import { bootStateOf } from './testing/boot-state.ts';

useBootDisk('bios-gpt');

describe('what starts a system on a disk', () => {
  it(
    'keeps the attributes of what is made anew, gives what is new its label, and is put back with all of them',
    async () => {
      const label = 'system_u:object_r:boot_t:s0';
      const labelled = ['setfattr', '--name', 'security.selinux', '--value', label, '{}', '+'];
      await disk.inside(async (system) => {
        system.write('etc/selinux/config', 'SELINUX=enforcing\nSELINUXTYPE=targeted\n');
        await system.hostOk(['find', 'R/boot', '-exec', ...labelled]);
        await system.hostOk(['setfattr', '-n', 'user.keep', '-v', 'yes', 'R/boot/grub/grub.cfg']);
        await system.hostOk(['chown', '0:4', 'R/boot/grub/grub.cfg']);
        rmSync(system.path('boot/grub/i386-pc/boot.mod'));
      });
      const was = await bootStateOf(disk);
      const parameters = { parts: ['loader', 'config'] };
      const { bytes } = await jobs.plan(parameters);
      const done = await jobs.order({ plan: bytes, parameters });
      expect([done.outcome, done.result?.outcome], done.said).toEqual(['succeeded', 'repaired']);
      const now = await bootStateOf(disk);
      const menu = now.find((line) => line.startsWith('boot/grub/grub.cfg'));
      expect(menu).toContain(' 0:4 ');
      const attributes = now.filter((line) => line.startsWith('# file: '));
      expect(attributes.find((block) => block.includes('grub.cfg'))).toContain('user.keep="yes"');
      const lines = now.filter((line) => / (?:4|10)0\d{3} /.test(line));
      expect(attributes.filter((block) => block.includes(label))).toHaveLength(lines.length + 1);
      await jobs.undo(done.id);
      expect(await bootStateOf(disk)).toEqual(was);
    },
    LIMIT_MS,
  );
});
