import { describe, expect, it } from 'vitest';
import { defaultOf, entryOf, menuEntries, savedChoiceFault, withDefault } from './boot-choice.ts';

const ROOT = '0c1a2b3c-0000-4000-8000-000000000001';

/** As grub-mkconfig 2.06 of Debian 12 writes it, with two kernels. */
const menu = (saved: string) => `
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved}"
fi
menuentry 'Debian' --class debian $menuentry_id_option 'gnulinux-simple-${ROOT}' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	linux	/boot/vmlinuz-6.1.0-9-amd64 root=UUID=${ROOT} ro
	initrd	/boot/initrd.img-6.1.0-9-amd64
}
submenu 'Advanced options for Debian' $menuentry_id_option 'gnulinux-advanced-${ROOT}' {
	menuentry 'Debian, with Linux 6.1.0-9-amd64' --class debian $menuentry_id_option 'gnulinux-6.1.0-9-amd64-advanced-${ROOT}' {
		linux	/boot/vmlinuz-6.1.0-9-amd64 root=UUID=${ROOT} ro
	}
	menuentry 'Debian, with Linux 6.1.0-9-amd64 (recovery mode)' --class debian $menuentry_id_option 'gnulinux-6.1.0-9-amd64-recovery-${ROOT}' {
		linux	/boot/vmlinuz-6.1.0-9-amd64 root=UUID=${ROOT} ro single
	}
	menuentry 'Debian, with Linux 6.1.0-7-amd64' --class debian $menuentry_id_option 'gnulinux-6.1.0-7-amd64-advanced-${ROOT}' {
		linux	/boot/vmlinuz-6.1.0-7-amd64 root=UUID=${ROOT} ro
	}
}
`;

const OLDER = `gnulinux-advanced-${ROOT}>gnulinux-6.1.0-7-amd64-advanced-${ROOT}`;

describe('a boot menu', () => {
  it('has an entry for each kernel, named by the menus around it', () => {
    const text = menu('0');
    expect(menuEntries(text)).toHaveLength(5);
    expect(entryOf(text, '6.1.0-7-amd64')?.id).toBe(OLDER);
    expect(entryOf(text, '6.1.0-9-amd64')?.id).toMatch(/^gnulinux-advanced-.*-9-amd64-advanced-/);
    expect(entryOf(text, '6.1.0')).toBeNull();
  });

  it('says which entry is started unless another was asked for once', () => {
    expect(defaultOf(menu('0'))).toBe('0');
    expect(defaultOf(menu('${saved_entry}'))).toBe('${saved_entry}');
    expect(defaultOf('')).toBeNull();
  });
});

describe('the entry that GRUB has saved', () => {
  const judge = (block: string, text = menu('${saved_entry}')) =>
    savedChoiceFault({
      read: (path) => Promise.resolve(path.endsWith('grubenv') ? block : text),
      stat: () => Promise.resolve({ size: block.length } as never),
    });
  const block = (line: string) => `# GRUB Environment Block\n${line}\n`.padEnd(1024, '#');

  it.each([
    ['none', 'kernelopts=quiet'],
    ['one of the menu', `saved_entry=${OLDER}`],
    ['one of the menu, by its title', 'saved_entry=Debian'],
    ['a number', 'saved_entry=1>2'],
  ])('is sound where it is %s', async (_, line) => {
    expect(await judge(block(line))).toBeNull();
  });

  it('is gone where the menu has it no more', async () => {
    const gone = block(`saved_entry=gnulinux-advanced-${ROOT}>gnulinux-5.10.0-1-amd64`);
    expect((await judge(gone))?.kind).toBe('gone');
    expect(await judge(gone, menu('0'))).toBeNull();
  });

  it('cannot be kept in a block of another length, or without its first line', async () => {
    expect((await judge('# GRUB Environment Block\n'))?.kind).toBe('broken');
    expect((await judge('x'.repeat(1024)))?.kind).toBe('broken');
  });
});

describe('/etc/default/grub with another entry', () => {
  it('changes every line that says which, and nothing else', () => {
    const text = 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_DEFAULT=saved\n';
    const line = `GRUB_DEFAULT="${OLDER}"`;
    const after = withDefault(text, OLDER);
    expect(after).toBe(`${line}\nGRUB_TIMEOUT=5\n${line}\n`);
    expect(withDefault(after!, OLDER)).toBeNull();
    expect(withDefault('GRUB_TIMEOUT=5', OLDER)).toBe(`GRUB_TIMEOUT=5\n${line}\n`);
  });
});
