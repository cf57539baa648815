import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { ConfigError } from './config.ts';
import { holderOf, listening } from './listening.ts';

const endings: (() => void)[] = [];
afterEach(() => {
  for (const end of endings.splice(0)) end();
});

const listen = async (address: { host: string; port: number }) => {
  const server = createServer();
  endings.push(() => server.close());
  server.listen(address);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

it.each(['127.0.0.1', '::1'])(
  'a taken port of %s names option, address and holder',
  async (host) => {
    const port = await listen({ host, port: 0 });
    const address = { host, port };
    const failure = await listening('--listen', address, () => listen(address)).catch(
      (error: unknown) => error,
    );
    const shown = host === '::1' ? `[::1]:${port}` : `127.0.0.1:${port}`;
    expect(failure).toBeInstanceOf(ConfigError);
    expect(String(failure)).toContain(
      `--listen ${shown}: the port is taken by node (process ${process.pid}); --listen HOST:PORT takes another one`,
    );
  },
);

it('a program is named without its arguments, and a free port has no holder', async () => {
  const program = `const server = require('node:net').createServer().listen(0, '127.0.0.1', () => console.log(server.address().port));`;
  const child = spawn(process.execPath, ['--eval', program, 'secret'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endings.push(() => child.kill('SIGKILL'));
  const [told] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(told.toString());
  expect(await holderOf(port)).toEqual({ pid: child.pid, program: 'node' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await holderOf(port)).toBeNull();
});

it('an address that is not of this machine is said, and what else fails is thrown as it is', async () => {
  const address = { host: '192.0.2.1', port: 0 };
  await expect(listening('--agent-listen', address, () => listen(address))).rejects.toThrow(
    '--agent-listen 192.0.2.1:0: this machine has no such address',
  );
  const other = new Error('other');
  await expect(listening('--listen', address, () => Promise.reject(other))).rejects.toBe(other);
});
