import { posix } from 'node:path';
import type { Target } from '../../../target/open-target.ts';
import type { Change } from '../../files/change-steps.ts';

const OWN = '/etc/systemd/system';
const SHIPPED = ['/lib/systemd/system', '/usr/lib/systemd/system'];
const SERVICES = ['ssh.service', 'sshd.service'];
const SOCKETS = ['ssh.socket', 'sshd.socket'];
const MASKS = [OWN, '/run/systemd/system'];
const GENERATOR = '/usr/lib/systemd/system-generators/sshd-socket-generator';

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
  const socket = await shippedUnit(files, SOCKETS);
  if (socket !== null && (await isEnabled(files, posix.basename(socket)))) {
    units.socket = posix.basename(socket);
    return units;
  }
  if (await isEnabled(files, name)) return units;
  const { wantedBy, aliases } = parseInstall((await files.read(service)) ?? '');
  for (const by of wantedBy.length > 0 ? wantedBy : ['multi-user.target']) {
    units.changes.push({ kind: 'link', path: `${OWN}/${by}.wants/${name}`, target: service });
  }
  for (const alias of aliases) {
    const path = `${OWN}/${alias}`;
    const isMask = units.changes.some((change) => change.path === path);
    units.changes = units.changes.filter((change) => change.path !== path);
    if (isMask || (await files.lstat(path)) === null) {
      units.changes.push({ kind: 'link', path, target: service });
    }
  }
  units.findings.push(`${name} is not enabled: it does not start with the system.`);
  return units;
}

/** Makes the socket listen where sshd_config says, where nothing else passes that on (Ubuntu 22.10 to 23.10). */
export async function judgeSshSocket(
  { files }: Target,
  socket: string,
  ports: readonly number[],
): Promise<{ changes: Change[]; findings: string[] }> {
  if ((await files.stat(GENERATOR)) !== null) return { changes: [], findings: [] };
  const listened = await socketPorts(files, socket);
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

async function socketPorts(files: Target['files'], socket: string): Promise<number[]> {
  const path = (await shippedUnit(files, [socket])) ?? `${OWN}/${socket}`;
  const folder = `${OWN}/${socket}.d`;
  const dropIns = (await files.list(folder)).filter((name) => name.endsWith('.conf'));
  let ports: number[] = [];
  for (const one of [path, ...dropIns.map((name) => `${folder}/${name}`)]) {
    for (const line of ((await files.read(one)) ?? '').split('\n')) {
      const [, value] = /^\s*ListenStream\s*=\s*(.*?)\s*$/.exec(line) ?? [];
      if (value === undefined) continue;
      const port = Number(/(\d+)$/.exec(value)?.[1]);
      // An empty value forgets those before.
      ports = value === '' ? [] : [...ports, port];
    }
  }
  return ports;
}

/** The file of the first of these units that a package brought, or an administrator wrote. */
async function shippedUnit(
  files: Target['files'],
  names: readonly string[],
): Promise<string | null> {
  for (const name of names) {
    for (const folder of [...SHIPPED, OWN]) {
      const found = await files.lstat(`${folder}/${name}`);
      if (found?.isFile() === true) return `${folder}/${name}`;
    }
  }
  return null;
}

async function isEnabled(files: Target['files'], unit: string): Promise<boolean> {
  for (const folder of await files.list(OWN)) {
    if (!/\.(?:wants|requires)$/.test(folder)) continue;
    if ((await files.lstat(`${OWN}/${folder}/${unit}`)) !== null) return true;
  }
  return false;
}

function parseInstall(text: string): { wantedBy: string[]; aliases: string[] } {
  const install = /^\[Install\]$([\s\S]*?)(?=^\[|(?![\s\S]))/m.exec(text)?.[1] ?? '';
  const words = (key: string) =>
    [...install.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))]
      .flatMap(([, value]) => value!.trim().split(/\s+/))
      .filter((word) => /^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}$/.test(word));
  return { wantedBy: words('WantedBy'), aliases: words('Alias') };
}
