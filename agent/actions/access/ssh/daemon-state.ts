import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { faultOf } from './sshd-check.ts';
import { startDaemon, stopDaemon } from './ssh-daemon.ts';

export const RUN_STATE_FILE = 'daemon-state.json';

/** What ran before a job started or reloaded it. */
const daemonStateSchema = z.strictObject({
  version: z.literal(1),
  service: z.string(),
  socket: z.string().nullable(),
  wasUp: z.boolean(),
});
export type DaemonState = z.output<typeof daemonStateSchema>;

/**
 * After files were put back: lets sshd read them, or stops it where it did not run. Where sshd finds fault
 * with the old files it is left as it runs: it still lets people in.
 */
export async function putDaemonBack(
  context: ActionContext,
  target: Target,
  folder: string,
): Promise<void> {
  if (target.kind === 'offline') return;
  const text = await readFile(join(folder, RUN_STATE_FILE), 'utf8').catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    },
  );
  if (text === null) return;
  const { service, socket, wasUp } = daemonStateSchema.parse(JSON.parse(text) as unknown);
  if (!wasUp) return stopDaemon(context, service, socket);
  const fault = await faultOf(context, target);
  if (fault === null) return startDaemon(context, service, socket);
  context.note(`sshd finds fault with the old files and is left as it runs: ${fault}`);
}
