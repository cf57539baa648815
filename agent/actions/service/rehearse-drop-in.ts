import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandStartError } from '../../process/command-start-error.ts';
import { minimalEnvironment } from '../../process/run-command.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { scratchFolder } from '../filesystem/scratch-space.ts';
import { dropInPath } from './drop-in.ts';

const VERIFY_WITHIN_MS = 60_000;

/**
 * Lets systemd read a unit with a drop-in as it is to become, out of the job's own folder; `content` null
 * is without it. Throws ActionError `drop_in_wrong` with its words when it finds more fault than now.
 * Returns false where that cannot be tried.
 */
export async function rehearseDropIn(
  context: ActionContext,
  unit: string,
  name: string,
  content: string | null,
): Promise<boolean> {
  const folder = join(await scratchFolder(context), 'units');
  const file = join(folder, `${unit}.d`, `${name}.conf`);
  await mkdir(join(folder, `${unit}.d`), { recursive: true });
  try {
    // A link to /dev/null hides the file of that name that lies further down the search path.
    if (content === null) await symlink('/dev/null', file);
    else await writeFile(file, content);
    const now = await verify(context, unit, '');
    const then = await verify(context, unit, `${folder}:`);
    const faults = then
      .filter((line) => !now.includes(line))
      .map((line) => line.replaceAll(file, dropInPath(unit, name)));
    if (faults.length === 0) return true;
    throw new ActionError(
      'drop_in_wrong',
      `systemd does not take it: ${faults.slice(0, 5).join('; ').slice(0, 1500)}`,
    );
  } catch (error) {
    if (error instanceof CommandStartError && error.failure === 'not_found') return false;
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function verify(context: ActionContext, unit: string, path: string): Promise<string[]> {
  const done = await context.run(['systemd-analyze', 'verify', '--man=no', '--', unit], {
    output: 'capture',
    timeoutMs: VERIFY_WITHIN_MS,
    environment: {
      ...minimalEnvironment,
      SYSTEMD_COLORS: '0',
      // An empty last part stands for the usual places.
      ...(path !== '' && { SYSTEMD_UNIT_PATH: path }),
    },
  });
  return done.err
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
