import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../test/fixtures/database.ts';
import { readConfig } from './config.ts';
import { openDataFolder } from './data-folder.ts';
import { findPostmaster } from './database/postmaster.ts';
import { createControlPlane } from './server.ts';
import type { ControlPlane, ControlPlaneAddresses } from './server.ts';

let directory: string;
const running: ControlPlane[] = [];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'ivcp-'));
});
afterEach(async () => {
  for (const controlPlane of running.splice(0)) await controlPlane.stop();
  rmSync(directory, { recursive: true, force: true });
});

const postmaster = () => findPostmaster(path.join(directory, 'postgres/data'));

function create(more: Parameters<typeof readConfig>[0] = {}): ControlPlane {
  const config = readConfig(
    { data: directory, listen: '127.0.0.1:0', agentListen: '127.0.0.1:0', stopGrace: '5', ...more },
    {},
    '/',
  );
  const controlPlane = createControlPlane(config, { log: pino({ level: 'silent' }) });
  running.push(controlPlane);
  return controlPlane;
}

async function stop(controlPlane: ControlPlane): Promise<void> {
  running.splice(running.indexOf(controlPlane), 1);
  await controlPlane.stop();
}

const whoAmI = async ({ url }: ControlPlaneAddresses, token: string) => {
  const headers = { authorization: `Bearer ${token}` };
  return fetch(`${url}/api/v1/whoami`, { headers });
};

describe('a control plane', () => {
  it('starts from nothing, lets the first admin in, and is the same after a restart', async () => {
    const first = create();
    const addresses = await first.start();
    expect(addresses.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(addresses.agentAddress).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(addresses.caPin).toMatch(/^sha256:[0-9a-f]{64}$/);
    const file = addresses.newAdminTokenFile!;
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const token = readFileSync(file, 'utf8').trim();
    expect(await (await whoAmI(addresses, token)).json()).toMatchObject({ role: 'admin' });
    expect((await fetch(`${addresses.url}/readyz`)).status).toBe(200);

    await stop(first);
    await expect(fetch(`${addresses.url}/healthz`)).rejects.toThrow('fetch failed');
    expect(postmaster()).toBeUndefined();

    const second = create();
    const again = await second.start();
    expect(again.newAdminTokenFile).toBeNull();
    expect(again.caPin).toBe(addresses.caPin);
    expect((await whoAmI(again, token)).status).toBe(200);
  });

  it('answers 503 while its database is killed, stays alive, and heals by itself', async () => {
    const addresses = await create().start();
    const token = readFileSync(addresses.newAdminTokenFile!, 'utf8').trim();
    const answers: string[] = [];
    process.kill(postmaster()!.pid, 'SIGKILL');
    const deadline = performance.now() + 15_000;
    // What was being answered when it was killed may still be answered.
    const isOver = () => answers.includes('503 database_unavailable') && answers.at(-1) === '200 ';
    while (!isOver() && performance.now() < deadline) {
      const response = await whoAmI(addresses, token);
      const body = (await response.json()) as { error?: { code: string } };
      answers.push(`${response.status} ${body.error?.code ?? ''}`);
      expect((await fetch(`${addresses.url}/healthz`)).status).toBe(200);
    }
    expect(isOver()).toBe(true);
    expect([...new Set(answers)].toSorted()).toEqual(['200 ', '503 database_unavailable']);
  });

  it('shows metrics to this machine, and to nobody who comes through a proxy on it', async () => {
    const { url } = await create().start();
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    const forwarded = { headers: { 'x-forwarded-for': '192.0.2.9' } };
    expect((await fetch(`${url}/metrics`, forwarded)).status).toBe(401);
  });

  it('counts failures for whoever a proxy on this machine says it saw', async () => {
    const { url } = await create().start();
    const attempt = async (forwarded: string) => {
      const headers = { authorization: 'Bearer ivt_guess', 'x-forwarded-for': forwarded };
      return (await fetch(`${url}/api/v1/whoami`, { headers })).status;
    };
    for (let count = 0; count < 20; count++) await attempt(`203.0.113.${count}, 192.0.2.1`);
    expect(await attempt('192.0.2.1')).toBe(429);
    expect(await attempt('192.0.2.2')).toBe(401);
    expect(await attempt('not an address')).toBe(401);
  });

  it('that cannot start leaves nothing behind', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    await expect(create({ listen: `127.0.0.1:${port}` }).start()).rejects.toThrow(
      `--listen 127.0.0.1:${port}: the port is taken by node (process ${process.pid})`,
    );
    expect(postmaster()).toBeUndefined();
    await (await openDataFolder(directory, { patienceMs: 0 })).release();
    await new Promise((resolve) => taken.close(resolve));
  });

  it('never shares its data folder', async () => {
    await create().start();
    const other = create();
    await expect(other.start()).rejects.toThrow(/another control plane \(process \d+\)/);
    expect(postmaster()).toBeDefined();
  });

  it('that stops ends streams and waits early, and cuts what does not end in time', async () => {
    const controlPlane = create({ stopGrace: '1' });
    const addresses = await controlPlane.start();
    const hanging = fetch(`${addresses.url}/api/v1/tokens`, {
      method: 'POST',
      body: new ReadableStream({ start: (out) => out.enqueue(Buffer.from('{"label":')) }),
      headers: {
        authorization: `Bearer ${readFileSync(addresses.newAdminTokenFile!, 'utf8').trim()}`,
        'content-type': 'application/json',
      },
      duplex: 'half',
    } as RequestInit).catch((error: unknown) => error);
    await sleep(100);
    const started = performance.now();
    await stop(controlPlane);
    const ms = performance.now() - started;
    expect(ms).toBeGreaterThan(900);
    expect(ms).toBeLessThan(4_000);
    expect(await hanging).toBeInstanceOf(Error);
  });

  it('runs on the operator’s own PostgreSQL, with the same migrations and nothing of its own', async () => {
    const own = await createTestDatabase({ empty: true });
    try {
      const { host, database, connectionString } = own.config;
      const databaseUrl =
        connectionString ??
        `postgres://postgres@localhost/${database}?host=${encodeURIComponent(host!)}`;
      const controlPlane = create({ databaseUrl });
      const addresses = await controlPlane.start();
      expect((await fetch(`${addresses.url}/readyz`)).status).toBe(200);
      expect(postmaster()).toBeUndefined();
      expect(await own.database.query('select name from people')).toEqual([{ name: 'admin' }]);
      await stop(controlPlane);
    } finally {
      await own.close();
    }
  });
});
