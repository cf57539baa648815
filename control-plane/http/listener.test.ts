import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { CONTROL_PLANE_NAME } from '../../proto/wire.ts';
import { openCertificateAuthority } from '../agents/certificate-authority.ts';
import { createHttpApp } from './app.ts';
import type { HttpEnvironment } from './environment.ts';
import type { Context } from 'hono';
import { createHttpListener } from './listener.ts';
import { lastEventId, respondWithBytes, respondWithEvents } from './stream.ts';

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

/** A real listener with one public route. */
async function serve(
  answer: (c: Context<HttpEnvironment>) => Response | Promise<Response>,
  tls?: { cert: string; key: string },
) {
  const closing = new AbortController();
  const app = createHttpApp({
    authenticate: async () => undefined,
    log: pino({ level: 'silent' }),
    closing: closing.signal,
  });
  app.get('/healthz', answer);
  const listener = createHttpListener({ app, host: '127.0.0.1', port: 0, ...(tls && { tls }) });
  const { port } = await listener.start();
  cleanUps.push(() => listener.stop(0));
  return { listener, closing, url: `http://127.0.0.1:${port}/healthz`, port };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('waited for 5 s');
    await sleep(5);
  }
}

describe('an event stream', () => {
  it('carries ids, names and data of any shape, and ends when its source does', async () => {
    const { url } = await serve((c) =>
      respondWithEvents(c, async function* () {
        yield { event: 'log', id: '7', data: 'one\ntwo\r\nthree' };
        yield { event: 'end', data: lastEventId(c) ?? 'none' };
      }),
    );
    const response = await fetch(url, { headers: { 'last-event-id': '41' } });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await response.text()).toBe(
      'id: 7\nevent: log\ndata: one\ndata: two\ndata: three\n\nevent: end\ndata: 41\n\n',
    );
  });

  it('delivers each event when it happens', async () => {
    const next = Promise.withResolvers<void>();
    const { url } = await serve((c) =>
      respondWithEvents(c, async function* () {
        yield { event: 'state', data: 'first' };
        await next.promise;
        yield { event: 'state', data: 'second' };
      }),
    );
    const reader = (await fetch(url)).body!.getReader();
    const text = async () => Buffer.from((await reader.read()).value!).toString();
    expect(await text()).toContain('first');
    next.resolve();
    expect(await text()).toContain('second');
  });

  it('stops its source when the reader leaves', async () => {
    let ended = false;
    const { url } = await serve((c) =>
      respondWithEvents(c, async function* (signal) {
        try {
          yield { event: 'state', data: 'here' };
          await once(signal, 'abort');
        } finally {
          ended = true;
        }
      }),
    );
    const reader = (await fetch(url)).body!.getReader();
    await reader.read();
    await reader.cancel();
    await until(() => ended);
    expect(ended).toBe(true);
  });
});

describe('a stream of bytes', () => {
  const block = Buffer.alloc(64 * 1024, 'x');

  it('asks its source for no more than a slow reader takes', async () => {
    let made = 0;
    const { port } = await serve((c) =>
      respondWithBytes(c, 'application/octet-stream', async function* () {
        for (; made < 2_000; made++) yield block;
      }),
    );
    const socket = connect(port, '127.0.0.1');
    socket.pause();
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => made > 3);
    let before = -1;
    while (before !== made) {
      before = made;
      await sleep(150);
    }
    // Buffers of the kernel on both sides take some megabytes, not all 125.
    expect(made).toBeLessThan(500);
    let received = 0;
    socket.on('data', (chunk: Buffer) => (received += chunk.length));
    socket.resume();
    await until(() => received > 2_000 * block.length);
    socket.destroy();
  });

  it('whose source fails is cut off, so that it does not look whole, and tells nothing', async () => {
    const { url } = await serve((c) =>
      respondWithBytes(c, 'application/octet-stream', async function* () {
        yield Buffer.from('a part');
        await sleep(20);
        throw new Error('internal words');
      }),
    );
    const response = await fetch(url);
    const reader = response.body!.getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe('a part');
    await expect(reader.read()).rejects.toThrow('terminated');
  });

  it('is cut off, not ended, when the control plane stops in the middle', async () => {
    const { url, listener, closing } = await serve((c) =>
      respondWithBytes(c, 'application/octet-stream', async function* (signal) {
        yield Buffer.from('a part');
        await once(signal, 'abort');
      }),
    );
    const reader = (await fetch(url)).body!.getReader();
    await reader.read();
    closing.abort();
    await expect(reader.read()).rejects.toThrow('terminated');
    await listener.stop(5_000);
  });
});

describe('a stop', () => {
  it('lets requests that are being answered end, takes no new ones, and closes idle connections', async () => {
    const answer = Promise.withResolvers<void>();
    let reached = false;
    const { url, listener, port } = await serve(async (c) => {
      reached = true;
      await answer.promise;
      return c.text('whole');
    });
    const pending = fetch(url);
    const idle = connect(port, '127.0.0.1');
    await once(idle, 'connect');
    await until(() => reached);
    const stopped = listener.stop(10_000);
    await expect(fetch(url)).rejects.toThrow('fetch failed');
    answer.resolve();
    expect(await (await pending).text()).toBe('whole');
    await stopped;
    idle.destroy();
  });

  it('does not wait longer than it may', async () => {
    const { url, listener } = await serve(() => new Promise<never>(() => {}));
    const pending = fetch(url).catch((error: unknown) => error);
    await sleep(50);
    const started = performance.now();
    await listener.stop(200);
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(await pending).toBeInstanceOf(Error);
  });
});

describe('TLS', () => {
  it('is spoken with the given certificate, and a handshake that hangs does not hold up a stop', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'ivtls-'));
    cleanUps.push(async () => rmSync(folder, { recursive: true }));
    const authority = await openCertificateAuthority(folder);
    const { cert, key } = await authority.issueServerCertificate();
    const { listener, port } = await serve((c) => c.text('hidden'), { cert, key });
    const silent = connect(port, '127.0.0.1');
    await once(silent, 'connect');

    const options = { ca: authority.certificatePem, servername: CONTROL_PLANE_NAME };
    const text = await new Promise<string>((resolve, reject) => {
      get({ host: '127.0.0.1', port, path: '/healthz', ...options }, (response) => {
        response.on('data', (chunk: Buffer) => resolve(chunk.toString()));
      }).on('error', reject);
    });
    expect(text).toBe('hidden');
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow('fetch failed');

    const started = performance.now();
    await listener.stop(300);
    expect(performance.now() - started).toBeLessThan(2_000);
    silent.destroy();
  });
});
