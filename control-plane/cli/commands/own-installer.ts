import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const OWN_INSTALLER = new URL('../../../dist/agent/install.sh', import.meta.url);

/** Whether an installer with this digest is the one that was built with this program. */
export function isOwnInstaller(digest: string): boolean {
  let own: Buffer;
  try {
    own = readFileSync(OWN_INSTALLER);
  } catch {
    return false;
  }
  return digest === `sha256:${createHash('sha256').update(own).digest('hex')}`;
}
