import { posix } from 'node:path';
import type { TargetFiles } from '../../../target/target-files.ts';

const OWN = '/etc/systemd/system';
const SHIPPED = ['/lib/systemd/system', '/usr/lib/systemd/system'];
const SOCKETS = ['ssh.socket', 'sshd.socket'];
/** Passes the ports of sshd_config on to the socket, from Ubuntu 24.04 on. */
const GENERATOR = '/usr/lib/systemd/system-generators/sshd-socket-generator';

/** The socket that starts sshd, where one is enabled. */
export async function enabledSocket(files: TargetFiles): Promise<string | null> {
  const path = await shippedUnit(files, SOCKETS);
  const socket = path === null ? null : posix.basename(path);
  return socket !== null && (await isEnabled(files, socket)) ? socket : null;
}

/** Ports on which a socket listens, by its files; null where a generator makes them those of sshd_config. */
export async function socketPorts(files: TargetFiles, socket: string): Promise<number[] | null> {
  if ((await files.stat(GENERATOR)) !== null) return null;
  const path = (await shippedUnit(files, [socket])) ?? `${OWN}/${socket}`;
  const folder = `${OWN}/${socket}.d`;
  const dropIns = (await files.list(folder)).filter((name) => name.endsWith('.conf'));
  let ports: number[] = [];
  for (const one of [path, ...dropIns.map((name) => `${folder}/${name}`)]) {
    for (const line of ((await files.read(one)) ?? '').split('\n')) {
      const [, value] = /^\s*ListenStream\s*=(.*)$/s.exec(line)?.map((part) => part.trim()) ?? [];
      if (value === undefined) continue;
      const port = Number(/(?<!\d)(\d+)$/.exec(value)?.[1]);
      // An empty value forgets those before.
      ports = value === '' ? [] : [...ports, port];
    }
  }
  return ports;
}

/** The file of the first of these units that a package brought, or an administrator wrote. */
export async function shippedUnit(
  files: TargetFiles,
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

/** Whether a link starts a unit with something else. */
export async function isEnabled(files: TargetFiles, unit: string): Promise<boolean> {
  for (const folder of await files.list(OWN)) {
    if (!/\.(?:wants|requires)$/.test(folder)) continue;
    if ((await files.lstat(`${OWN}/${folder}/${unit}`)) !== null) return true;
  }
  return false;
}
