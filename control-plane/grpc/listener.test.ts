import * as grpc from '@grpc/grpc-js';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import {
  certificatePem,
  dial,
  enroll,
  makeTlsKey,
  TestAgent,
  TestSession,
} from '../../test/fixtures/test-agent.ts';
import type { TlsIdentity } from '../../test/fixtures/test-agent.ts';
import { CONTROL_PLANE_NAME, wireLimits } from '../../proto/wire.ts';
import { openCertificateAuthority } from '../agents/certificate-authority.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
let agent: TestAgent;

beforeAll(async () => {
  side = await startAgentSide(test.database, { limits: { anonymousPerAddress: 4 } });
  operation = await createOperation(side.api);
  agent = await TestAgent.enroll(side, operation.tenant.world, operation.tenant.client);
});
afterAll(() => side.close());

afterEach(async () => {
  agent.close();
  // Whatever was tried, the listener serves its agent on.
  const session = await agent.connect();
  await session.close();
  const unforeseen = side.lines.filter((line) => (line['level'] as number) >= 50);
  expect(unforeseen).toEqual([]);
});

function tlsOptions(identity: TlsIdentity | null): tls.ConnectionOptions {
  return {
    host: '127.0.0.1',
    port: side.port,
    ca: side.authority.certificatePem,
    servername: CONTROL_PLANE_NAME,
    ALPNProtocols: ['h2'],
    ...(identity && { key: identity.keyPem, cert: identity.certificatePem }),
  };
}

/** How long a socket was left open. */
async function openFor(socket: net.Socket): Promise<number> {
  const started = performance.now();
  socket.on('error', () => {});
  socket.resume();
  if (!socket.closed) await once(socket, 'close');
  return performance.now() - started;
}

function statusOf(call: grpc.ClientDuplexStream<Buffer, Buffer>): Promise<grpc.StatusObject> {
  call.on('error', () => {});
  call.on('data', () => {});
  return new Promise((resolve) => call.on('status', resolve));
}

/** The status of a session that this identity tries to open. */
async function tryConnect(identity: TlsIdentity | null): Promise<grpc.StatusObject> {
  const client = dial(side, identity);
  const session = new TestSession(client.connect({ deadline: Date.now() + 8_000 }), client);
  session.send({ hello: {} });
  return session.answers.ended.finally(() => client.close());
}

describe('who gets in', () => {
  it('an agent with its certificate', async () => {
    const session = await agent.connect();
    const welcome = session.answers.all[0]!.welcome!;
    expect(welcome).toMatchObject({
      agentId: agent.agentId,
      serverId: operation.tenant.serverId,
      accountId: operation.tenant.accountId,
    });
    await session.close();
  });

  it('nobody without a certificate, but to enrol', async () => {
    const refused = await tryConnect(null);
    expect(refused.code).toBe(grpc.status.UNAUTHENTICATED);
    const { request } = await makeTlsKey();
    const denied = enroll(side, operation.tenant.world, 'A'.repeat(43), request);
    await expect(denied).rejects.toMatchObject({ code: grpc.status.PERMISSION_DENIED });
  });

  it('no certificate of another authority, even for the same agent id', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'ivf-'));
    try {
      const foreign = await openCertificateAuthority(folder);
      const { keyPem, request } = await makeTlsKey();
      for (const lifetime of [3600, -60]) {
        // One that has ended too: a TLS library names only the last fault it found.
        const { der } = await foreign.issueAgentCertificate(request, agent.agentId, lifetime);
        const identity = { keyPem, certificatePem: certificatePem(der) };
        expect((await tryConnect(identity)).code).toBe(grpc.status.UNAVAILABLE);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('no certificate of ours for an agent that does not exist', async () => {
    const { keyPem, request } = await makeTlsKey();
    const { der } = await side.authority.issueAgentCertificate(
      request,
      '99999999-2222-4333-8444-555555555555',
      3600,
    );
    const refused = await tryConnect({ keyPem, certificatePem: certificatePem(der) });
    expect(refused.code).toBe(grpc.status.UNAVAILABLE);
  });

  it('no serial older than the one before the newest', async () => {
    const { keyPem, request } = await makeTlsKey();
    const { der } = await side.authority.issueAgentCertificate(request, agent.agentId, 3600);
    const refused = await tryConnect({ keyPem, certificatePem: certificatePem(der) });
    expect(refused).toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
      details: 'certificate_superseded',
    });
  });

  it('an ended certificate only to renew, and not after 30 days', async () => {
    const stale = await TestAgent.enroll(
      side,
      (await operation.addServer(operation.tenant)).world,
      operation.tenant.client,
    );
    const withCertificateThatEnded = async (secondsAgo: number) => {
      const { der, serial } = await side.authority.issueAgentCertificate(
        stale.request,
        stale.agentId,
        -secondsAgo,
      );
      stale.identity.certificatePem = certificatePem(der);
      await test.database.query('update agents set certificate_serial = $2 where id = $1', [
        stale.agentId,
        serial,
      ]);
    };
    await withCertificateThatEnded(31 * 24 * 3600);
    await expect(stale.renew()).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
    await withCertificateThatEnded(29 * 24 * 3600);
    expect((await tryConnect(stale.identity)).code).toBe(grpc.status.UNAUTHENTICATED);
    const { certificate } = await stale.renew();
    stale.identity.certificatePem = certificatePem(certificate!);
    await (await stale.connect()).close();
    stale.close();
  });

  it('no TLS 1.2', async () => {
    const socket = tls.connect({ ...tlsOptions(agent.identity), maxVersion: 'TLSv1.2' });
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toMatch(/protocol version|alert/i);
  });

  it('no protocol but HTTP/2', async () => {
    const socket = tls.connect({
      ...tlsOptions(agent.identity),
      ALPNProtocols: undefined as never,
    });
    expect(await openFor(socket)).toBeLessThan(2_000);
  });

  it('only so many peers without a certificate per address', async () => {
    const sockets = Array.from({ length: 6 }, () => tls.connect(tlsOptions(null)));
    for (const socket of sockets) socket.on('error', () => {});
    const closed = sockets.map((socket) => once(socket.resume(), 'close').then(() => socket));
    await expect.poll(() => sockets.filter((socket) => socket.closed).length).toBe(2);
    await sleep(200);
    expect(sockets.filter((socket) => socket.closed)).toHaveLength(2);
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
  });
});

describe('who is sent away in time', () => {
  it('a TCP connection that says nothing', async () => {
    const open = await openFor(net.connect(side.port, '127.0.0.1'));
    expect(open).toBeGreaterThan(wireLimits.handshakeMs - 500);
    expect(open).toBeLessThan(wireLimits.handshakeMs + 2_000);
  });

  it('TLS without an HTTP/2 preface', async () => {
    const open = await openFor(tls.connect(tlsOptions(agent.identity)));
    expect(open).toBeLessThan(wireLimits.firstMessageMs + 2_000);
  });

  it('HTTP/2 on which nothing is asked', async () => {
    const session = http2.connect('https://control', tlsOptions(agent.identity) as object);
    session.on('error', () => {});
    const started = performance.now();
    await once(session, 'close');
    expect(performance.now() - started).toBeLessThan(wireLimits.firstMessageMs + 2_000);
  });

  it('a session whose hello does not come', async () => {
    const client = agent.client();
    const session = new TestSession(client.connect(), client);
    // Its headers go out with the first message only; a heartbeat is not the hello.
    session.send({ heartbeat: {} });
    expect((await session.answers.ended).code).toBe(grpc.status.INVALID_ARGUMENT);
    const silent = client.makeBidiStreamRequest(
      '/intervene.v1.AgentService/Connect',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
    );
    expect((await statusOf(silent)).code).toBe(grpc.status.DEADLINE_EXCEEDED);
  });
});

describe('what nobody should send', () => {
  const garbage: [string, Buffer][] = [
    ['random bytes', randomBytes(4096)],
    ['a plain HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a plain HTTP/2 preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
    ['a TLS record that promises more', Buffer.from([0x16, 3, 1, 0xff, 0xff, 1, 0, 0xff, 0xff])],
  ];
  it.each(garbage)('%s instead of TLS', async (_, bytes) => {
    const socket = net.connect(side.port, '127.0.0.1');
    socket.write(bytes);
    expect(await openFor(socket)).toBeLessThan(wireLimits.handshakeMs + 2_000);
  });

  it('random bytes instead of HTTP/2', async () => {
    const socket = tls.connect(tlsOptions(agent.identity));
    socket.on('error', () => {});
    socket.on('secureConnect', () => socket.write(randomBytes(64 * 1024)));
    expect(await openFor(socket)).toBeLessThan(wireLimits.firstMessageMs + 2_000);
  });

  it('a message larger than the limit', async () => {
    const session = await agent.connect();
    const receipt = randomBytes(wireLimits.messageBytes);
    session.send({ receipt: { jobId: 'x', receipt } });
    expect((await session.answers.ended).code).toBe(grpc.status.RESOURCE_EXHAUSTED);
  });

  it('headers larger than the limit', async () => {
    const client = agent.client();
    const metadata = new grpc.Metadata();
    metadata.set('x-large', 'x'.repeat(wireLimits.headerBytes));
    const session = new TestSession(client.connect(metadata), client);
    session.send({ hello: {} });
    expect((await session.answers.ended).code).not.toBe(grpc.status.OK);
  });

  it('a header that claims to be another connection', async () => {
    const client = dial(side, null);
    const metadata = new grpc.Metadata();
    for (let id = 1; id < 40; id++) metadata.add('intervene-connection', String(id));
    const session = new TestSession(client.connect(metadata), client);
    session.send({ hello: {} });
    expect((await session.answers.ended).code).toBe(grpc.status.UNAUTHENTICATED);
    client.close();
  });

  it('bytes that are no protobuf, on every method', async () => {
    const client = agent.client();
    const seeds = [
      Buffer.alloc(0),
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
      Buffer.from([0x0b]),
    ];
    const bodies = [...seeds, ...Array.from({ length: 60 }, (_, size) => randomBytes(size * 7))];
    for (const method of ['Enroll', 'Renew', 'Connect', 'UploadLog', 'Nothing']) {
      for (const body of bodies) {
        const call = client.makeBidiStreamRequest(
          `/intervene.v1.AgentService/${method}`,
          (bytes: Buffer) => bytes,
          (bytes: Buffer) => bytes,
          { deadline: Date.now() + 5_000 },
        );
        call.write(body);
        call.end();
        expect((await statusOf(call)).code).not.toBe(grpc.status.UNAVAILABLE);
      }
    }
  });

  it.each([
    ['with a certificate', () => agent.identity],
    ['without one', () => null],
  ])('requests of any shape, reset at any moment, by a peer %s', async (_, identity) => {
    const pick = <T>(values: readonly T[]): T => values[Math.floor(Math.random() * values.length)]!;
    const path_ = '/intervene.v1.AgentService/';
    const headers = () => ({
      ':method': pick(['POST', 'POST', 'GET', 'PUT']),
      ':path': pick([
        `${path_}Connect`,
        `${path_}Enroll`,
        `${path_}UploadLog`,
        '/',
        '*',
        '/%ff\u00ff',
      ]),
      ...pick([{}, { 'content-type': 'application/grpc' }, { 'content-type': 'text/html' }]),
      ...pick([{}, { 'grpc-timeout': '1n' }, { 'grpc-timeout': 'soon' }, { 'grpc-timeout': '1m' }]),
      ...pick([{}, { 'grpc-encoding': 'gzip' }, { 'grpc-encoding': 'none' }]),
      ...pick([{}, { te: 'trailers' }, { 'x-bin': 'x' }, { 'x-a-bin': 'not base64 \u00ff' }]),
    });
    // One peer is cut off when it resets too often; others come after it.
    for (let round = 0; round < 15; round++) {
      const session = http2.connect('https://control', tlsOptions(identity()) as object);
      session.on('error', () => {});
      await Promise.race([once(session, 'connect').catch(() => {}), sleep(1_000)]);
      for (let at = 0; at < 60 && !session.destroyed && !session.closed; at++) {
        const stream = session.request(headers());
        stream.on('error', () => {});
        if (Math.random() < 0.5)
          stream.write(Buffer.concat([Buffer.from([at % 2, 0, 0, 0, at]), randomBytes(at)]));
        if (Math.random() < 0.7) stream.close(http2.constants.NGHTTP2_CANCEL);
        if (Math.random() < 0.2) await sleep(1);
      }
      session.destroy();
    }
    // An exception that nobody caught would have failed this file; its agent comes in as before.
    const client = agent.client();
    const session = await agent.connect({}, client);
    expect(side.side.sessions.find(agent.agentId)).toBeDefined();
    await session.close();
  });
});

describe('what is left', () => {
  it('is nothing: connections that ended are not counted any more', async () => {
    agent.close();
    await expect.poll(() => side.side.connections, { timeout: 30_000 }).toBe(0);
  });
});
