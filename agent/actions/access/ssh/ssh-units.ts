import { posix } from 'node:path';
import type { Target } from '../../../target/open-target.ts';
import {
  enabledSocket,
  isEnabled,
  shippedUnit,
  socketPorts,
} from '../../diagnostics/ssh/ssh-socket.ts';
import type { Change } from '../../files/change-steps.ts';
import { startLinks } from '../../service/start-links.ts';

const OWN = '/etc/systemd/system';
const SERVICES = ['ssh.service', 'sshd.service'];
const MASKS = [OWN, '/run/systemd/system'];

export interface SshUnits {
  /** The service of sshd, by its file's name; null where systemd does not start it. */
  service: string | null;
  /** The socket that starts it, where there is one that is enabled. */
  socket: string | null;
  changes: Change[];
  findings: string[];
}

/** What keeps systemd from starting sshd: a mask, or no link that would start it. */
export async function judgeSshUnits(target: Target): Promise<SshUnits> {
  const { files } = target;
  const service = await shippedUnit(files, SERVICES);
  const units: SshUnits = { service: null, socket: null, changes: [], findings: [] };
  if (service === null) return units;
  const name = posix.basename(service);
  units.service = name;
  for (const folder of MASKS) {
    // A /run of a system on disks is in the memory of nobody.
    if (target.kind === 'offline' && folder.startsWith('/run/')) continue;
    for (const one of SERVICES) {
      const path = `${folder}/${one}`;
      if ((await files.readLink(path)) !== '/dev/null') continue;
      units.changes.push({ kind: 'link', path, target: null });
      units.findings.push(`${one} is masked: nothing may start it.`);
    }
  }
  units.socket = await enabledSocket(files);
  if (units.socket !== null) return units;
  if (await isEnabled(files, name)) return units;
  units.changes = await startLinks(files, service, units.changes);
  units.findings.push(`${name} is not enabled: it does not start with the system.`);
  return units;
}

/** Makes the socket listen where sshd_config says, where nothing else passes that on (Ubuntu 22.10 to 23.10). */
export async function judgeSshSocket(
  { files }: Target,
  socket: string,
  ports: readonly number[],
): Promise<{ changes: Change[]; findings: string[] }> {
  const listened = await socketPorts(files, socket);
  if (listened === null) return { changes: [], findings: [] };
  const missing = ports.filter((port) => !listened.includes(port));
  if (missing.length === 0) return { changes: [], findings: [] };
  const lines = ['[Socket]', 'ListenStream=', ...ports.map((port) => `ListenStream=${port}`), ''];
  return {
    changes: [
      {
        kind: 'file',
        // Read last: it has the last word.
        path: `${OWN}/${socket}.d/zz-intervene.conf`,
        content: Buffer.from(lines.join('\n')),
        mode: 0o644,
      },
    ],
    findings: [
      `${socket} listens on ${listened.join(', ') || 'nothing'}, sshd_config says ${ports.join(', ')}: systemd decides.`,
    ],
  };
}
