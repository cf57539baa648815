import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import type { Cover } from '../../target/offline/run-inside.ts';
import type { Target } from '../../target/open-target.ts';

const FOLDER = '/etc/initramfs-tools';
/** mkinitramfs reads such names only (run-parts(8)). */
const SETTING_FILE = /^[\w.-]+$/;
const DEPENDS = /^([ \t]*)MODULES=["']?dep\b.*$/gm;

/**
 * What mkinitramfs is shown in the place of settings that take only the drivers of the machine it runs on
 * (initramfs.conf(5), MODULES=dep): that is the one which repairs. The target's own files stay as they are.
 */
export async function settingsForAnyMachine(
  { directory }: Pick<ActionContext, 'directory'>,
  { files }: Pick<Target, 'files'>,
): Promise<Cover[]> {
  const names = (await files.list(`${FOLDER}/conf.d`)).filter((name) => SETTING_FILE.test(name));
  const paths = [`${FOLDER}/initramfs.conf`, ...names.map((name) => `${FOLDER}/conf.d/${name}`)];
  const covers: Cover[] = [];
  for (const at of paths) {
    const text = (await files.read(at).catch(() => null)) ?? '';
    const changed = text.replaceAll(DEPENDS, '$1MODULES=most');
    if (changed === text) continue;
    const own = join(directory, `scratch-setting-${covers.length}`);
    await writeFile(own, changed, { mode: 0o644 });
    covers.push({ at, with: own });
  }
  return covers;
}
