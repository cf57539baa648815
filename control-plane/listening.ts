import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from './config.ts';

/** Of `node:net`: why nobody can listen there, in words that go on after the address. */
const WHY: Readonly<Record<string, string>> = {
  EACCES: 'this user may not listen there; ports below 1024 are for root',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'this machine knows no such name',
};

/**
 * Starts what listens on the address of an option. Throws ConfigError that names option and address where that is not
 * possible, and who has the port where it is taken.
 *
 * @param option as a person gives it: `--listen`
 */
export async function listening<T>(
  option: string,
  { host, port }: { host: string; port: number },
  start: () => Promise<T>,
): Promise<T> {
  try {
    return await start();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    const why = code === 'EADDRINUSE' ? await whyTaken(port) : WHY[code];
    if (why === undefined) throw cause;
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    throw new ConfigError(`${option} ${address}: ${why}; ${option} HOST:PORT takes another one`, {
      cause,
    });
  }
}

async function whyTaken(port: number): Promise<string> {
  const holder = await holderOf(port);
  if (holder === null) return 'the port is taken; as root, ss -ltnp shows by what';
  return `the port is taken by ${holder.program} (process ${holder.pid})`;
}

/** Which process listens on a TCP port of this network namespace; null when it is none that this user may see. */
export async function holderOf(port: number): Promise<{ pid: number; program: string } | null> {
  const sockets = new Set((await inodesListening(port)).map((inode) => `socket:[${inode}]`));
  if (sockets.size === 0) return null;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    // Processes of others may not be looked into, and any may end meanwhile.
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const leadsTo = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      if (sockets.has(leadsTo)) return { pid: Number(pid), program: await programOf(pid) };
    }
  }
  return null;
}

/** proc_net_tcp: the second field is address and port in hexadecimal, 0A listens, the tenth is the inode. */
async function inodesListening(port: number): Promise<string[]> {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')),
  );
  return tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(end) === true && state === '0A')
    .map((fields) => fields[9] ?? '');
}

/** Its name alone: what follows on its command line may be secret. */
async function programOf(pid: string): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return path.basename(line.split('\0')[0] ?? '') || 'a program';
}
