import type { TargetFiles } from '../../target/target-files.ts';
import { GRUB_CFG } from './boot-menu.ts';

export const GRUBENV = '/boot/grub/grubenv';
export const DEFAULTS = '/etc/default/grub';
/** GRUB writes the block in place, so that it never has another length (grub-editenv(1)). */
const GRUBENV_BYTES = 1024;
const GRUBENV_HEAD = '# GRUB Environment Block\n';
const CONFIG_MAX_BYTES = 1024 * 1024;

/** An entry of the boot menu, by the names of the menus around it and its own. */
export interface MenuEntry {
  /** `submenu>entry`: stays the same when others come and go, as a number does not. */
  id: string;
  /** By the titles that people see. */
  title: string;
  /** The kernel that it starts; null for a menu and for other entries. */
  kernel: string | null;
}

/** Entries as grub-mkconfig writes them, with the menus among them. */
export function menuEntries(text: string): MenuEntry[] {
  const entries: MenuEntry[] = [];
  const open: MenuEntry[] = [];
  for (const line of text.split('\n')) {
    const begun = /^\s*(?:menuentry|submenu)\s+'((?:[^'\\]|\\.)*)'(.*)\{\s*$/.exec(line);
    if (begun !== null) {
      const [, title, options] = begun;
      const [, id] = /\$menuentry_id_option\s+'([^']*)'/.exec(options!) ?? [];
      const above = open.at(-1);
      const entry: MenuEntry = {
        id: `${above === undefined ? '' : `${above.id}>`}${id ?? title}`,
        title: `${above === undefined ? '' : `${above.title}>`}${title}`,
        kernel: null,
      };
      entries.push(entry);
      open.push(entry);
    } else if (/^\s*\}\s*$/.test(line)) open.pop();
    const [, kernel] = /^\s*linux(?:16|efi)?\s+(\S+)/.exec(line) ?? [];
    if (kernel !== undefined && open.length > 0) open.at(-1)!.kernel ??= kernel;
  }
  return entries;
}

/** The entry that starts a kernel as it is every day: the one that names its version, of no rescue mode. */
export function entryOf(text: string, version: string): MenuEntry | null {
  const fitting = menuEntries(text).filter(
    ({ id, kernel }) => kernel?.endsWith(`/vmlinuz-${version}`) === true && !/recovery/.test(id),
  );
  return fitting.find(({ id }) => id.includes('>')) ?? fitting[0] ?? null;
}

/** What `default` is set to where nobody has asked for another entry once; null when nothing sets it. */
export function defaultOf(text: string): string | null {
  const all = [...text.matchAll(/^[ \t]*set default="([^"\n]*)"$/gm)].map(([, value]) => value!);
  return all.find((value) => value !== '${next_entry}') ?? null;
}

/**
 * What is wrong with the entry that GRUB has saved, where its menu goes by that: `gone` names an entry that is
 * not there, `broken` says that the block is none. Null when nothing is wrong.
 */
export async function savedChoiceFault(
  files: Pick<TargetFiles, 'read' | 'stat'>,
): Promise<{ kind: 'gone' | 'broken'; text: string } | null> {
  const [found, block] = [await files.stat(GRUBENV), await files.read(GRUBENV, GRUBENV_BYTES)];
  if (found === null || block === null) return null;
  if (found.size !== GRUBENV_BYTES || !block.startsWith(GRUBENV_HEAD)) {
    const text = `${GRUBENV} is no block of ${GRUBENV_BYTES} bytes: GRUB can keep nothing in it.`;
    return { kind: 'broken', text };
  }
  const menu = (await files.read(GRUB_CFG, CONFIG_MAX_BYTES)) ?? '';
  const saved = /^saved_entry=(.+)$/m.exec(block)?.[1];
  if (saved === undefined || defaultOf(menu) !== '${saved_entry}') return null;
  const isNumber = saved.split('>').every((part) => /^\d+$/.test(part));
  const isThere = menuEntries(menu).some(({ id, title }) => [id, title].includes(saved));
  if (isNumber || isThere) return null;
  return { kind: 'gone', text: `GRUB is to start ${saved.slice(0, 200)}, which its menu has not.` };
}

/** `/etc/default/grub` with this entry as the one that is started; null when it says so already. */
export function withDefault(text: string, id: string): string | null {
  const line = `GRUB_DEFAULT="${id}"`;
  const own = /^GRUB_DEFAULT=.*$/gm;
  const end = text === '' || text.endsWith('\n') ? '' : '\n';
  const after = own.test(text) ? text.replaceAll(own, () => line) : `${text}${end}${line}\n`;
  return after === text ? null : after;
}
