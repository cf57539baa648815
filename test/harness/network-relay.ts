import net from 'node:net';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Daemon, eventually } from './process.ts';

/**
 * Makes 127.0.0.1:`port` of this network reachable under the same address in another one. Two halves meet
 * at a Unix socket, which network namespaces do not separate: this process, and a program in the other
 * network, started behind `enter`. Returns what ends it.
 */
export async function forwardPort(
  enter: readonly string[],
  port: number,
  folder: string,
): Promise<() => Promise<void>> {
  const meeting = path.join(folder, `relay-${port}`);
  const server = net.createServer((near) => join(near, net.connect(port, '127.0.0.1')));
  server.listen(meeting);
  const there = new Daemon(
    [...enter, process.execPath, import.meta.filename, String(port), meeting],
    `${meeting}.log`,
  );
  there.start();
  await eventually('the relay listens', () => existsSync(`${meeting}.ready`));
  return async () => {
    await there.end('SIGKILL');
    server.close();
  };
}

function join(one: net.Socket, other: net.Socket): void {
  one.on('error', () => other.destroy());
  other.on('error', () => one.destroy());
  one.on('close', () => other.destroy());
  other.on('close', () => one.destroy());
  one.pipe(other);
  other.pipe(one);
}

if (process.argv[1] === import.meta.filename) {
  const { writeFileSync } = await import('node:fs');
  const [port, meeting] = process.argv.slice(2) as [string, string];
  net
    .createServer((far) => join(far, net.connect(meeting)))
    .listen(Number(port), '127.0.0.1', () => writeFileSync(`${meeting}.ready`, ''));
}
