import { basename, dirname } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { copyAttributes, withDraft } from '../files/change-files.ts';
import { openPlain } from '../files/file-state.ts';
import { GRUB_CFG } from './boot-menu.ts';

const NEW_MODE = 0o444;
const SECRET_MODE = 0o600;

/**
 * Puts a menu in its place, whole or not at all, with owner, mode and other attributes of the one that is
 * there; with a password in it only root may read it.
 */
export async function writeMenu(
  context: Pick<ActionContext, 'run' | 'spec'>,
  { root }: Pick<Target, 'root'>,
  text: string,
): Promise<void> {
  const folder = await root.openFolder(dirname(GRUB_CFG));
  const name = basename(GRUB_CFG);
  try {
    // A link is replaced, whatever it leads to.
    const old = await openPlain(folder, name).catch(() => null);
    try {
      await withDraft(folder, name, context.spec.job, async (draft) => {
        await draft.writeFile(text);
        if (old === null) await draft.chmod(NEW_MODE);
        else await copyAttributes(context, old, draft);
        if (/^[ \t]*password/m.test(text)) await draft.chmod(SECRET_MODE);
      });
    } finally {
      await old?.close();
    }
    await folder.sync();
  } finally {
    await folder.close();
  }
}
