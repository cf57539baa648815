import { constants } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Target } from '../../target/open-target.ts';
import { GRUB_CFG } from './boot-menu.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** Puts a menu in its place, whole or not at all; with a password in it only root may read it. */
export async function writeMenu({ root }: Pick<Target, 'root'>, text: string): Promise<void> {
  const folder = await root.openFolder(dirname(GRUB_CFG));
  try {
    const place = folder.entry(basename(GRUB_CFG));
    const draft = folder.entry(`${basename(GRUB_CFG)}.new`);
    const before = await stat(place).catch(() => null);
    const kept = before?.isFile() === true ? before.mode & 0o777 : 0o444;
    await rm(draft, { force: true });
    const file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      await file.writeFile(text);
      await file.chmod(/^[ \t]*password/m.test(text) ? 0o600 : kept);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, place);
    await folder.sync();
  } finally {
    await folder.close();
  }
}
