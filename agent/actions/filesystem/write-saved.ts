import { ActionError } from '../../runner/action.ts';
import type { BlockDevice } from '../../target/block-device.ts';
import { openDevice, syncDevice } from './device-io.ts';
import { isMixtureOf, SavedBlocks } from './saved-blocks.ts';

/** Files of `SavedBlocks` with the same stretches of a device: as they were, and as they are to become. */
export interface SavedPaths {
  before: string;
  after: string;
}

/**
 * Writes one of the two where the device holds the other or, as a kill leaves it, some sectors of each. May be
 * cut off anywhere and begun again; durable when it returns. Throws ActionError `changed_since` where somebody
 * else has written there, before the first byte, and `not_written`.
 *
 * @param name what was saved, as people name it
 */
export async function writeSaved(
  device: BlockDevice,
  paths: SavedPaths,
  when: keyof SavedPaths,
  name: string,
): Promise<void> {
  await using closing = new AsyncDisposableStack();
  const open = async (path: string) => {
    const saved = await SavedBlocks.open(path);
    closing.defer(() => saved.close());
    return saved;
  };
  const saved = { before: await open(paths.before), after: await open(paths.after) };
  const handle = closing.use(await openDevice(device, 'write'));
  if (!(await isMixtureOf(handle, saved.before, saved.after))) {
    const why = `${name} has been written to by somebody else: nothing is put over that`;
    throw new ActionError('changed_since', why);
  }
  await saved[when].restore(handle);
  await syncDevice(handle);
  if (await saved[when].isOn(handle)) return;
  throw new ActionError('not_written', `${name} has not what was written to it`);
}
