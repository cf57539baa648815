import { once } from 'node:events';
import net from 'node:net';
import pino from 'pino';
import { status } from '@grpc/grpc-js';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { startCutProxy } from '../../test/harness/cut-proxy.ts';
import type { CutProxy } from '../../test/harness/cut-proxy.ts';
import { ControlPlaneConnection } from './connection.ts';
import type { ConnectionOptions, ConnectionState } from './connection.ts';
import type { Incoming } from './courier.ts';
import type { AgentIdentity } from './identity.ts';
import type { Session } from './session.ts';
import { TestAuthority } from './testing/certificates.ts';
import { FarEnd } from './testing/far-end.ts';
import type { FarEndOptions, FarSession } from './testing/far-end.ts';
import { makeIdentity } from './testing/test-identity.ts';

const soon = { timeout: 15_000 };

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function startFarEnd(options: FarEndOptions = {}): Promise<FarEnd> {
  const farEnd = await FarEnd.start({ onSession: (session) => session.welcome(), ...options });
  closing.push(() => farEnd.stop());
  return farEnd;
}

async function startProxy(port: number): Promise<CutProxy> {
  const proxy = await startCutProxy(port);
  closing.push(() => proxy.close());
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
  closing.push(async () => {
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

function connectTo(
  addresses: string[],
  identity: AgentIdentity,
  changes: Partial<ConnectionOptions> = {},
) {
  const messages: Incoming[] = [];
  const states: ConnectionState[] = [];
  const certificates: string[] = [];
  let session: Session | undefined;
  const connection = new ControlPlaneConnection({
    addresses,
    identity,
    nowMs: Date.now,
    greeting: () => ({
      facts: {
        hostname: 'web-04',
        machineId: 'm',
        serial: 's',
        macAddresses: ['02:00:00:00:00:01'],
        os: 'Debian',
        kernel: '6',
        agentVersion: '0',
        addresses: ['192.0.2.1'],
      },
      mode: 'resident',
      documentTypes: ['application/vnd.intervene.order.v1+json'],
      actions: [{ id: 'command.run', version: 1 }],
      knownJobs: ['known'],
      bootId: 'boot',
      locked: true,
      ageRecipient: 'age1',
    }),
    onMessage: (message, from) => {
      messages.push(message);
      session = from;
    },
    onWritable: () => {},
    onState: (state) => states.push(state),
    isBusy: () => true,
    saveCertificate: async (pem) => {
      certificates.push(pem);
    },
    log: pino({ level: 'silent' }),
    ...changes,
  });
  connection.start();
  closing.push(() => connection.stop());
  return {
    connection,
    messages,
    states,
    certificates,
    get session() {
      return session!;
    },
    connected: () =>
      expect.poll(() => connection.state, { timeout: 15_000, interval: 10 }).toBe('connected'),
  };
}

async function connectedPair(options: FarEndOptions = {}) {
  const farEnd = await startFarEnd(options);
  const near = connectTo([farEnd.address], await makeIdentity(farEnd.authority));
  await near.connected();
  return { farEnd, near, far: await farEnd.session() };
}

describe('ControlPlaneConnection', () => {
  it('says who it is, and is connected once it was welcomed', async () => {
    const { near, far } = await connectedPair();
    const hello = await far.next('hello');
    expect(hello).toMatchObject({
      facts: { hostname: 'web-04', macAddresses: ['02:00:00:00:00:01'] },
      mode: 'resident',
      actions: [{ id: 'command.run', version: 1 }],
      knownJobs: ['known'],
      locked: true,
    });
    expect(near.messages).toMatchObject([{ type: 'welcome', positions: [] }]);
    expect(near.states).toEqual(['connecting', 'connected']);
  });

  it('passes on what the control plane says, in its own words', async () => {
    const { near, far } = await connectedPair();
    far.send({ job: { jobId: 'j', order: Buffer.from('o'), certifications: [], auditHead: 'no' } });
    far.send({ cancel: { jobId: 'j', mode: 'after_step' } });
    far.send({ cancel: { jobId: 'j', mode: 'sideways' } });
    far.send({ acknowledged: { jobId: 'j', receipt: true } });
    far.send({ acknowledged: { jobId: 'j', nextSequence: 0, ended: true } });
    far.send({ revocations: { ids: ['i'], documents: [Buffer.from('d')] } });
    far.send({ trust: { rootChain: [Buffer.from('r')] } });
    far.send({});
    await expect.poll(() => near.messages.length, soon).toBe(8);
    expect(near.messages.slice(1)).toEqual([
      {
        type: 'delivery',
        delivery: {
          job: 'j',
          order: Buffer.from('o'),
          authorization: null,
          certifications: [],
          plan: null,
          auditHead: null,
        },
      },
      { type: 'cancel', job: 'j', mode: 'after_step' },
      { type: 'cancel', job: 'j', mode: 'now' },
      {
        type: 'acknowledged',
        acknowledged: { job: 'j', receipt: true, nextSequence: null, ended: false },
      },
      {
        type: 'acknowledged',
        acknowledged: { job: 'j', receipt: false, nextSequence: 0, ended: true },
      },
      { type: 'revocations', ids: ['i'], documents: [Buffer.from('d')] },
      { type: 'trust', rootChain: [Buffer.from('r')], accountKeys: [] },
    ]);
  });

  it('comes back after a cut, and says so in between', async () => {
    const { farEnd, near } = await connectedPair();
    farEnd.cut();
    await farEnd.session(1);
    await near.connected();
    expect(near.states.slice(2)).toEqual(
      expect.arrayContaining(['waiting', 'connecting', 'connected']),
    );
    expect(near.messages.filter((message) => message.type === 'welcome')).toHaveLength(2);
  });

  it('goes on to the next address when one does not answer', async () => {
    const farEnd = await startFarEnd();
    const gone = await startFarEnd();
    const deadAddress = gone.address;
    await gone.stop();
    closing.splice(closing.length - 1, 1);
    const near = connectTo([deadAddress, farEnd.address], await makeIdentity(farEnd.authority));
    await near.connected();
    expect(near.connection.address).toBe(farEnd.address);
  });

  it('never talks to a server of another authority', async () => {
    const farEnd = await startFarEnd();
    const stranger = await TestAuthority.create();
    const near = connectTo([farEnd.address], await makeIdentity(stranger));
    await expect
      .poll(() => near.states.filter((state) => state === 'waiting').length, soon)
      .toBe(2);
    expect(farEnd.sessions).toEqual([]);
  });

  it('judges the server by the trusted clock, not by the wall clock', async () => {
    const authority = await TestAuthority.create();
    const server = await authority.issueServer({ fromSeconds: -7200, untilSeconds: -3600 });
    const farEnd = await startFarEnd({ authority, server });
    const identity = await makeIdentity(authority, { fromSeconds: -7200 });
    const past = connectTo([farEnd.address], identity, { nowMs: () => Date.now() - 5400_000 });
    await past.connected();
    const present = connectTo([farEnd.address], identity);
    await expect.poll(() => present.states.includes('waiting'), soon).toBe(true);
    expect(farEnd.sessions).toHaveLength(1);
  });

  it('finds a half-open connection by its silence', async () => {
    const farEnd = await startFarEnd();
    const proxy = await startProxy(farEnd.port);
    const timings = { heartbeatMs: 100, silenceMs: 600 };
    const identity = await makeIdentity(farEnd.authority);
    const near = connectTo([`127.0.0.1:${proxy.port}`], identity, { timings });
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
        .poll(() => near.connection.state, { timeout: 5_000, interval: 10 })
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
    const farEnd = await startFarEnd();
    const proxy = await startDeafProxy(farEnd.port);
    const pathTimings = { everyMs: 100, patienceMs: 300 };
    const identity = await makeIdentity(farEnd.authority);
    const near = connectTo([`127.0.0.1:${proxy.port}`], identity, { pathTimings });
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
    const farEnd = await startFarEnd();
    const proxy = await startProxy(farEnd.port);
    const pathTimings = { everyMs: 100, patienceMs: 200 };
    const identity = await makeIdentity(farEnd.authority);
    const near = connectTo([`127.0.0.1:${proxy.port}`], identity, { pathTimings });
    await near.connected();
    proxy.silence();
    await delay(1_500);
    expect(near.connection.state).toBe('connected');
    expect(farEnd.sessions).toHaveLength(1);
  });

  it('takes nothing from a session that was frozen for too long', async () => {
    const timings = { heartbeatMs: 100, silenceMs: 400 };
    const farEnd = await startFarEnd();
    const near = connectTo([farEnd.address], await makeIdentity(farEnd.authority), { timings });
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

  it('comes back when it was asked to after a drain', async () => {
    const { farEnd, far, near } = await connectedPair();
    const startedAt = performance.now();
    far.send({ drain: { reconnectAfterMs: 300 } });
    await farEnd.session(1);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(295);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    await near.connected();
  });

  it('gives up a session that speaks before it welcomes', async () => {
    let first = true;
    const farEnd = await startFarEnd({
      onSession: (session: FarSession) => {
        if (first) session.send({ cancel: { jobId: 'j', mode: 'now' } });
        else session.welcome();
        first = false;
      },
    });
    const near = connectTo([farEnd.address], await makeIdentity(farEnd.authority));
    await near.connected();
    expect(near.messages.map((message) => message.type)).toEqual(['welcome']);
  });

  it('keeps trying while it is refused', async () => {
    let refusals = 2;
    const farEnd = await startFarEnd({
      onSession: (session) => {
        if (refusals-- > 0) {
          const error = { code: status.ALREADY_EXISTS, details: 'another session lives' };
          session.call.emit('error', Object.assign(new Error(), error));
        } else {
          session.welcome();
        }
      },
    });
    const near = connectTo([farEnd.address], await makeIdentity(farEnd.authority));
    await near.connected();
    expect(farEnd.sessions).toHaveLength(3);
  });

  it('stops at once while it waits or connects', async () => {
    const farEnd = await startFarEnd({ onSession: () => {} });
    const near = connectTo([farEnd.address], await makeIdentity(farEnd.authority));
    await farEnd.session();
    const startedAt = performance.now();
    await near.connection.stop();
    expect(performance.now() - startedAt).toBeLessThan(500);
    expect(near.connection.state).toBe('stopped');
  });
});

describe('the certificate', () => {
  it('is renewed at half of its life, and used from then on', async () => {
    const authority = await TestAuthority.create();
    const identity = await makeIdentity(authority, { fromSeconds: -10, untilSeconds: 12 });
    const farEnd = await startFarEnd({
      authority,
      renew: (request) => authority.issueAgent(request),
    });
    const near = connectTo([farEnd.address], identity);
    await farEnd.session(1);
    await near.connected();
    expect(near.certificates).toHaveLength(1);
    expect(near.connection.certificateEndsMs).toBeGreaterThan(Date.now() + 3_000_000);
  });

  it('that ended is renewed before anything else', async () => {
    const authority = await TestAuthority.create();
    const identity = await makeIdentity(authority, { fromSeconds: -7200, untilSeconds: -60 });
    let sessionsAtRenewal = -1;
    const farEnd = await startFarEnd({
      authority,
      renew: (request) => {
        sessionsAtRenewal = farEnd.sessions.length;
        return authority.issueAgent(request);
      },
    });
    const near = connectTo([farEnd.address], identity);
    await near.connected();
    expect(sessionsAtRenewal).toBe(0);
    expect(near.certificates).toHaveLength(1);
  });

  it('is renewed once when the own clock runs ahead, not again and again', async () => {
    const authority = await TestAuthority.create();
    const identity = await makeIdentity(authority, { fromSeconds: -60, untilSeconds: 3600 });
    let renewals = 0;
    const farEnd = await startFarEnd({
      authority,
      server: await authority.issueServer({ untilSeconds: 7 * 24 * 3600 }),
      renew: (request) => {
        renewals++;
        return authority.issueAgent(request);
      },
    });
    const ahead = () => Date.now() + 24 * 3600_000;
    const near = connectTo([farEnd.address], identity, { nowMs: ahead });
    await near.connected();
    await delay(500);
    expect(renewals).toBe(1);
    expect(near.connection.state).toBe('connected');
  });

  it('is renewed when the control plane does not take it', async () => {
    let renewals = 0;
    const farEnd = await startFarEnd({
      renew: (request) => {
        renewals++;
        return farEnd.authority.issueAgent(request);
      },
      onSession: (session) => {
        if (renewals > 0) session.welcome();
        else {
          const error = { code: status.UNAUTHENTICATED, details: 'certificate_superseded' };
          session.call.emit('error', Object.assign(new Error(), error));
        }
      },
    });
    const near = connectTo([farEnd.address], await makeIdentity(farEnd.authority));
    await near.connected();
    expect(renewals).toBe(1);
  });

  it('for another key, or from another authority, is not taken', async () => {
    const authority = await TestAuthority.create();
    const stranger = await TestAuthority.create();
    const identity = await makeIdentity(authority, { fromSeconds: -7200, untilSeconds: -60 });
    const other = await makeIdentity(authority);
    const answers = [
      () => authority.issueAgent(other.certificateRequest),
      (request: Uint8Array) => stranger.issueAgent(request),
      (request: Uint8Array) => authority.issueAgent(request),
    ];
    const farEnd = await startFarEnd({
      authority,
      renew: (request) => answers.shift()!(request),
    });
    const near = connectTo([farEnd.address], identity);
    await near.connected();
    expect(answers).toEqual([]);
    expect(near.certificates).toHaveLength(1);
  });
});
