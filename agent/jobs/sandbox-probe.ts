import { execFile } from 'node:child_process';

const PROBE_WITHIN_MS = 5_000;

/**
 * Whether bubblewrap is here and may make the namespaces that runners live in; otherwise jobs are refused
 * with `sandbox_unavailable`. Changes nothing.
 */
export function isSandboxAvailable(bwrapPath = '/usr/bin/bwrap'): Promise<boolean> {
  const words = ['--unshare-pid', '--as-pid-1', '--unshare-net', '--ro-bind', '/', '/'];
  return new Promise((resolve) => {
    execFile(
      bwrapPath,
      [...words, '--proc', '/proc', '--dev', '/dev', '--', '/bin/true'],
      { env: {}, timeout: PROBE_WITHIN_MS, killSignal: 'SIGKILL' },
      (error) => resolve(error === null),
    );
  });
}
