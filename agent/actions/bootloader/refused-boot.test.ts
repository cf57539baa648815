import { readdirSync, rmSync, truncateSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { REPAIRED_BY_HAND } from './foreign-boot.ts';
import { disk, jobs, LIMIT_MS, useBootDisk } from './testing/boot-disk.ts';
import { layAsRhel } from './testing/foreign-system.ts';

useBootDisk('bios-gpt');

describe('what starts a system in another way than Debian', () => {
  it(
    'is left to people who know it where RHEL has made it, with what they do',
    async () => {
      await disk.inside((system) => layAsRhel(system));
      const refused = await jobs.order({ mode: 'plan' });
      expect([refused.outcome, refused.reason]).toEqual(['failed', 'boot_not_supported']);
      expect(refused.said).toContain(REPAIRED_BY_HAND);
    },
    LIMIT_MS,
  );

  it(
    'keeps an initramfs that another program than mkinitramfs makes, and leaves one of those that is broken',
    async () => {
      const initramfs = await disk.inside((system) => {
        rmSync(system.path('usr/sbin/mkinitramfs'));
        rmSync(system.path('usr/bin/lsinitramfs'));
        const names = readdirSync(system.path('boot'));
        return `boot/${names.find((name) => name.startsWith('initrd.img-'))!}`;
      });
      expect((await jobs.plan()).steps).toEqual([]);
      await disk.inside((system) => truncateSync(system.path(initramfs), 4 * 1024 * 1024));
      const refused = await jobs.order({ mode: 'plan' });
      expect([refused.outcome, refused.reason]).toEqual(['failed', 'boot_not_supported']);
      expect(refused.said).toContain(`no mkinitramfs, so what makes /${initramfs}`);
    },
    LIMIT_MS,
  );
});
