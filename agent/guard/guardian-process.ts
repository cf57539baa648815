import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { GUARDIAN, type GuardFolder } from './guard-folder.ts';

/**
 * Starts a guardian in a session of its own; it outlives this process. Where another one watches already it
 * leaves at once.
 */
export function startGuardian(folder: GuardFolder): void {
  const child = spawn('/bin/sh', [join(folder.path, GUARDIAN)], {
    cwd: '/',
    env: {},
    detached: true,
    stdio: 'ignore',
  });
  // Whoever needs one starts another.
  child.on('error', () => undefined);
  child.unref();
}
