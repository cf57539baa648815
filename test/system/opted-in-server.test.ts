import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OptedInServer } from '../harness/opted-in-server.ts';

let server: OptedInServer;

beforeAll(async () => {
  server = await OptedInServer.start();
}, 600_000);
afterAll(() => server?.close());

describe('a server with systemd that was opted in by its install line', () => {
  it('runs its agent as a service', async () => {
    expect(await server.debian.ok(['systemctl', 'is-active', 'intervene-agent'])).toBe('active\n');
  });

  it('carries out what its client allows, in its own world', async () => {
    await server.stack.authorize('command.run');
    const argv = ['sh', '-c', 'hostname; systemctl is-active nginx'];
    const done = await server.stack.cli(
      'lead',
      ...['run', 'web-04', 'command.run', '--yes', '--'],
      ...argv,
    );
    expect(done).toMatchObject({ status: 0, stdout: `${server.debian.name}\nactive\n` });
  });
});
