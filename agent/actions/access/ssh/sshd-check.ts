import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { scratchFolder } from '../../filesystem/scratch-space.ts';
import { SSHD } from './sshd-trial.ts';

/** What sshd finds wrong with itself; null when it would start. */
export async function faultOf(context: ActionContext, target: Target): Promise<string | null> {
  const empty = join(await scratchFolder(context), 'sshd-run');
  await mkdir(empty, { mode: 0o755 });
  try {
    const done = await target.runInside([SSHD, '-t'], {
      output: 'capture',
      covers: [{ at: '/run/sshd', with: empty }],
    });
    const isClean = done.exitStatus === 0 && !done.err.includes('UNPROTECTED PRIVATE KEY');
    return isClean ? null : done.err.trim().slice(0, 500) || `it exits with ${done.exitStatus}`;
  } finally {
    await rm(empty, { recursive: true, force: true });
  }
}
