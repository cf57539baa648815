import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { startCutProxy } from '../../test/harness/cut-proxy.ts';
import type { CutProxy } from '../../test/harness/cut-proxy.ts';
import { Closing, NearEnd, startFarEnd } from './testing/near-end.ts';
import { makeIdentity } from './testing/test-identity.ts';

const closing = new Closing();
afterEach(() => closing.all());

async function startProxy(port: number): Promise<CutProxy> {
  const proxy = await startCutProxy(port);
  closing.add(() => proxy.close());
  return proxy;
}

/** A proxy whose connections can all go deaf for good, while new ones work. */
async function startDeafProxy(port: number): Promise<{ port: number; deafen: () => void }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((downstream) => {
    const upstream = net.connect(port, '127.0.0.1');
    for (const socket of [downstream, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    downstream.pipe(upstream).pipe(downstream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.add(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    port: (server.address() as net.AddressInfo).port,
    deafen: () => {
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
  };
}

describe('a connection that no longer carries anything', () => {
  it('finds a half-open connection by its silence', async () => {
    const farEnd = await startFarEnd(closing);
    const proxy = await startProxy(farEnd.port);
    const timings = { heartbeatMs: 100, silenceMs: 600 };
    const identity = await makeIdentity(farEnd.authority);
    const near = new NearEnd(closing, [`127.0.0.1:${proxy.port}`], identity, { timings });
    await near.connected();
    const far = await farEnd.session();
    const beat = setInterval(() => !far.isOver && far.send({ heartbeat: {} }), 100);
    try {
      await delay(1_000);
      expect(near.connection.state).toBe('connected');
      expect(far.all('heartbeat').length).toBeGreaterThan(4);
      const startedAt = performance.now();
      proxy.silence();
      await expect
        .poll(() => near.connection.state, { timeout: 30_000, interval: 10 })
        .not.toBe('connected');
      expect(performance.now() - startedAt).toBeLessThan(1_200);
      expect(near.connection.silentForMs).toBeGreaterThan(500);
    } finally {
      clearInterval(beat);
    }
    proxy.restore();
    await near.connected();
  });

  it('makes a new connection when that works and the one it has does not', async () => {
    const farEnd = await startFarEnd(closing);
    const proxy = await startDeafProxy(farEnd.port);
    const pathTimings = { everyMs: 100, patienceMs: 300 };
    const identity = await makeIdentity(farEnd.authority);
    const near = new NearEnd(closing, [`127.0.0.1:${proxy.port}`], identity, { pathTimings });
    await near.connected();
    await delay(600);
    expect(farEnd.sessions).toHaveLength(1);
    const startedAt = performance.now();
    proxy.deafen();
    await farEnd.session(1);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    await near.connected();
  });

  it('keeps a connection that only pauses as long as no new one works either', async () => {
    const farEnd = await startFarEnd(closing);
    const proxy = await startProxy(farEnd.port);
    const pathTimings = { everyMs: 100, patienceMs: 200 };
    const identity = await makeIdentity(farEnd.authority);
    const near = new NearEnd(closing, [`127.0.0.1:${proxy.port}`], identity, { pathTimings });
    await near.connected();
    proxy.silence();
    await delay(1_500);
    expect(near.connection.state).toBe('connected');
    expect(farEnd.sessions).toHaveLength(1);
  });

  it('takes nothing from a session that was frozen for too long', async () => {
    const timings = { heartbeatMs: 100, silenceMs: 400 };
    const farEnd = await startFarEnd(closing);
    const near = new NearEnd(closing, [farEnd.address], await makeIdentity(farEnd.authority), {
      timings,
    });
    await near.connected();
    const far = await farEnd.session();
    far.send({ cancel: { jobId: 'late', mode: 'now' } });
    // The message lies in the socket while nothing runs here, as when the process is stopped.
    const until = performance.now() + 800;
    while (performance.now() < until);
    await far.over();
    await near.connected();
    expect(near.messages.map((message) => message.type)).not.toContain('cancel');
  });
});
