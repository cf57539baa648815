import { once } from 'node:events';
import { existsSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BootedDebian } from '../harness/booted-debian.ts';

let booted: BootedDebian;

beforeAll(async () => {
  booted = await BootedDebian.start();
}, 600_000);
afterAll(async () => {
  await booted.close();
});

describe('a Debian booted for a test', () => {
  it('has a systemd of its own that restarts services', async () => {
    expect((await booted.exec(['systemctl', '--failed', '--no-legend'])).stdout).toBe('');
    await booted.ok(['systemctl', 'restart', 'nginx']);
    expect(await booted.ok(['systemctl', 'is-active', 'nginx', 'ssh'])).toBe('active\nactive\n');
  });

  it('reaches the ports of this machine it was given, and no other', async () => {
    const server = http.createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const get = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
    expect((await booted.exec(['bash', '-c', get])).status).toBe(1);
    await booted.reachHost(port);
    expect(await booted.ok(['bash', '-c', get])).toContain('hello');
    server.close();
  });

  it('keeps what it writes to itself', async () => {
    await booted.write('/etc/marked', 'by the test\n', '0600');
    expect(await booted.ok(['stat', '-c', '%a %s', '/etc/marked'])).toBe('600 12\n');
    expect(existsSync('/etc/marked')).toBe(false);
  });

  it('reboots, and finds what it wrote', async () => {
    const bootId = () => booted.ok(['cat', '/proc/sys/kernel/random/boot_id']);
    const before = await bootId();
    await booted.write('/etc/marked', 'by the test\n');
    await booted.ok(['systemctl', 'reboot', '--no-block']);
    await booted.cameBack();
    expect(await bootId()).not.toBe(before);
    expect(await booted.ok(['cat', '/etc/marked'])).toBe('by the test\n');
  });
});
