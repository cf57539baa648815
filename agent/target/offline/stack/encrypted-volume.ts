import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { holdMap, type OpenedDevice } from './device-mapper.ts';

/** A key is stretched on purpose; a machine that is emulated takes its time. */
const UNLOCK_WITHIN_MS = 5 * 60_000;

type Context = Pick<ActionContext, 'run' | 'note' | 'spec' | 'signal'>;

/** Of cryptsetup(8). */
const WRONG_KEY = 2;
const NO_MEMORY = 3;

/**
 * Opens a LUKS volume; null when the key is not one of its own. The key goes from the memory of the job to
 * cryptsetup's standard input and nowhere else.
 */
export async function unlock(
  context: Context,
  node: string,
  name: string,
  key: string,
  { write }: { write: boolean },
): Promise<OpenedDevice | null> {
  const words = [...(write ? [] : ['--readonly']), node, name];
  return (await isTaken(context, key, words)) ? holdMap(context, name) : null;
}

/** Whether the key is one of the volume's own: a look that needs no device mapper. */
export function isKeyOf(context: Context, node: string, key: string): Promise<boolean> {
  return isTaken(context, key, ['--test-passphrase', node]);
}

async function isTaken(context: Context, key: string, words: readonly string[]): Promise<boolean> {
  for (const input of spellings(key)) {
    const done = await context.run(
      [
        ...['cryptsetup', 'open', '--type=luks', '--batch-mode', '--key-file=-'],
        // The keyring of the kernel is closed to jobs, and would keep the key beyond them.
        '--disable-keyring',
        ...words,
      ],
      { output: 'capture', input, timeoutMs: UNLOCK_WITHIN_MS, signal: context.signal },
    );
    if (done.exitStatus === 0) return true;
    if (done.exitStatus === WRONG_KEY) continue;
    const why =
      done.exitStatus === NO_MEMORY
        ? 'there is not enough memory to derive the key'
        : `cryptsetup: ${done.err.trim().slice(0, 300)}`;
    throw new ActionError('not_opened', why);
  }
  return false;
}

/** A key from a text file ends in a line end that was never meant. */
function spellings(key: string): string[] {
  const [, line] = /^([^\n]+)\n$/.exec(key) ?? [];
  return line === undefined ? [key] : [key, line];
}
