import { once } from 'node:events';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ActionContext } from '../../../runner/action.ts';
import { mustSystemctl, showUnits, systemctl } from '../../service/systemctl.ts';

type Context = Pick<ActionContext, 'run'>;

const GREETS_WITHIN_MS = 15_000;
const TRY_MS = 2_000;
const AGAIN_MS = 100;

export async function isRunning(context: Context, unit: string): Promise<boolean> {
  const [properties] = await showUnits(context, [unit], ['ActiveState']);
  return ['active', 'reloading', 'activating'].includes(properties?.get('ActiveState') ?? '');
}

/**
 * Lets sshd read everything again where it runs, which no session notices, and starts it where it does not.
 * Only for a configuration that sshd itself has found good. Throws ActionError `start_failed`.
 */
export async function startDaemon(
  context: Context,
  service: string,
  socket: string | null,
): Promise<void> {
  await mustSystemctl(context, ['daemon-reload'], 'start_failed');
  // A unit that failed too often would not be started again.
  await systemctl(context, ['reset-failed', service], { output: 'capture' });
  if (socket !== null) {
    await mustSystemctl(context, ['restart', socket], 'start_failed');
    // By its socket it starts with the first who comes.
    if (!(await isRunning(context, service))) return;
  }
  const verb = (await isRunning(context, service)) ? 'reload-or-restart' : 'start';
  await mustSystemctl(context, [verb, service], 'start_failed');
}

export async function stopDaemon(
  context: Context,
  service: string,
  socket: string | null,
): Promise<void> {
  const units = socket === null ? [service] : [socket, service];
  await mustSystemctl(context, ['stop', ...units], 'stop_failed');
}

type Socket = Readonly<{ host: string; port: number }>;

/**
 * A port on which sshd greets (RFC 4253, section 4.2), for clients of every family it is to listen for; null
 * when there is none, after a while.
 */
export async function findGreeting(
  sockets: readonly Socket[],
  signal: AbortSignal,
): Promise<string | null> {
  const ports = [...new Set(sockets.map(({ port }) => port))];
  const until = Date.now() + GREETS_WITHIN_MS;
  do {
    for (const port of ports) {
      const hosts = sockets.filter((socket) => socket.port === port).map(({ host }) => host);
      const at = await greetingAddress(hosts, port);
      if (at !== null) return `${at} port ${port}`;
    }
    await sleep(AGAIN_MS, undefined, { signal });
  } while (Date.now() < until);
  return null;
}

/** Where all addresses are meant, each family has to; of single ones the machine need not have them all. */
async function greetingAddress(hosts: readonly string[], port: number): Promise<string | null> {
  const all = [
    ...(hosts.includes('0.0.0.0') ? ['127.0.0.1'] : []),
    ...(hosts.includes('::') && hasIpv6() ? ['::1'] : []),
  ];
  const single = hosts.filter((host) => host !== '0.0.0.0' && host !== '::');
  for (const host of all) if (!(await greets(host, port))) return null;
  if (all.length > 0) return all[0]!;
  for (const host of single) if (await greets(host, port)) return host;
  return null;
}

function hasIpv6(): boolean {
  const lists = Object.values(networkInterfaces());
  return lists.some((list) => list?.some(({ family }) => family === 'IPv6'));
}

async function greets(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port });
  try {
    const signal = AbortSignal.timeout(TRY_MS);
    const [bytes] = (await once(socket, 'data', { signal })) as [Buffer];
    return bytes.toString('latin1').startsWith('SSH-');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
