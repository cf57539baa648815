import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { TestAuthority } from './testing/certificates.ts';
import { FarEnd } from './testing/far-end.ts';
import type { FarSession } from './testing/far-end.ts';
import { Closing, connectedPair, NearEnd, startFarEnd } from './testing/near-end.ts';
import { makeIdentity } from './testing/test-identity.ts';

const soon = { timeout: 30_000 };
const closing = new Closing();
afterEach(() => closing.all());

describe('ControlPlaneConnection', () => {
  it('says who it is, and is connected once it was welcomed', async () => {
    const { near, far } = await connectedPair(closing);
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
    const { near, far } = await connectedPair(closing);
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
          given: [],
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
      { type: 'revocations', ids: ['i'], documents: [Buffer.from('d')], certifications: [] },
      { type: 'trust', rootChain: [Buffer.from('r')], accountKeys: [] },
    ]);
  });

  it('comes back after a cut, and says so in between', async () => {
    const { farEnd, near } = await connectedPair(closing);
    farEnd.cut();
    await farEnd.session(1);
    await near.connected();
    expect(near.states.slice(2)).toEqual(
      expect.arrayContaining(['waiting', 'connecting', 'connected']),
    );
    expect(near.messages.filter((message) => message.type === 'welcome')).toHaveLength(2);
  });

  it('goes on to the next address when one does not answer', async () => {
    const farEnd = await startFarEnd(closing);
    const gone = await FarEnd.start();
    const deadAddress = gone.address;
    await gone.stop();
    const near = new NearEnd(
      closing,
      [deadAddress, farEnd.address],
      await makeIdentity(farEnd.authority),
    );
    await near.connected();
    expect(near.connection.address).toBe(farEnd.address);
  });

  it('never talks to a server of another authority', async () => {
    const farEnd = await startFarEnd(closing);
    const stranger = await TestAuthority.create();
    const near = new NearEnd(closing, [farEnd.address], await makeIdentity(stranger));
    await expect
      .poll(() => near.states.filter((state) => state === 'waiting').length, soon)
      .toBe(2);
    expect(farEnd.sessions).toEqual([]);
  });

  it('judges the server by the trusted clock, not by the wall clock', async () => {
    const authority = await TestAuthority.create();
    const server = await authority.issueServer({ fromSeconds: -7200, untilSeconds: -3600 });
    const farEnd = await startFarEnd(closing, { authority, server });
    const identity = await makeIdentity(authority, { fromSeconds: -7200 });
    const past = new NearEnd(closing, [farEnd.address], identity, {
      nowMs: () => Date.now() - 5400_000,
    });
    await past.connected();
    const present = new NearEnd(closing, [farEnd.address], identity);
    await expect.poll(() => present.states.includes('waiting'), soon).toBe(true);
    expect(farEnd.sessions).toHaveLength(1);
  });

  it('comes back when it was asked to after a drain', async () => {
    const { farEnd, far, near } = await connectedPair(closing);
    const startedAt = performance.now();
    far.send({ drain: { reconnectAfterMs: 300 } });
    await farEnd.session(1);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(295);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    await near.connected();
  });

  it('gives up a session that speaks before it welcomes', async () => {
    let first = true;
    const farEnd = await startFarEnd(closing, {
      onSession: (session: FarSession) => {
        if (first) session.send({ cancel: { jobId: 'j', mode: 'now' } });
        else session.welcome();
        first = false;
      },
    });
    const near = new NearEnd(closing, [farEnd.address], await makeIdentity(farEnd.authority));
    await near.connected();
    expect(near.messages.map((message) => message.type)).toEqual(['welcome']);
  });

  it('keeps trying while it is refused', async () => {
    let refusals = 2;
    const farEnd = await startFarEnd(closing, {
      onSession: (session) => {
        if (refusals-- > 0) {
          const error = { code: status.ALREADY_EXISTS, details: 'another session lives' };
          session.call.emit('error', Object.assign(new Error(), error));
        } else {
          session.welcome();
        }
      },
    });
    const near = new NearEnd(closing, [farEnd.address], await makeIdentity(farEnd.authority));
    await near.connected();
    expect(farEnd.sessions).toHaveLength(3);
  });

  it('stops at once while it waits or connects', async () => {
    const farEnd = await startFarEnd(closing, { onSession: () => {} });
    const near = new NearEnd(closing, [farEnd.address], await makeIdentity(farEnd.authority));
    await farEnd.session();
    const startedAt = performance.now();
    await near.connection.stop();
    expect(performance.now() - startedAt).toBeLessThan(500);
    expect(near.connection.state).toBe('stopped');
  });
});
