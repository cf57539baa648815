import { status } from '@grpc/grpc-js';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { TestAuthority } from './testing/certificates.ts';
import { Closing, NearEnd, startFarEnd } from './testing/near-end.ts';
import { makeIdentity } from './testing/test-identity.ts';

const closing = new Closing();
afterEach(() => closing.all());

describe('the certificate', () => {
  it('is renewed at half of its life, and used from then on', async () => {
    const authority = await TestAuthority.create();
    const identity = await makeIdentity(authority, { fromSeconds: -10, untilSeconds: 12 });
    const farEnd = await startFarEnd(closing, {
      authority,
      renew: (request) => authority.issueAgent(request),
    });
    const near = new NearEnd(closing, [farEnd.address], identity);
    await farEnd.session(1);
    await near.connected();
    expect(near.certificates).toHaveLength(1);
    expect(near.connection.certificateEndsMs).toBeGreaterThan(Date.now() + 3_000_000);
  });

  it('that ended is renewed before anything else', async () => {
    const authority = await TestAuthority.create();
    const identity = await makeIdentity(authority, { fromSeconds: -7200, untilSeconds: -60 });
    let sessionsAtRenewal = -1;
    const farEnd = await startFarEnd(closing, {
      authority,
      renew: (request) => {
        sessionsAtRenewal = farEnd.sessions.length;
        return authority.issueAgent(request);
      },
    });
    const near = new NearEnd(closing, [farEnd.address], identity);
    await near.connected();
    expect(sessionsAtRenewal).toBe(0);
    expect(near.certificates).toHaveLength(1);
  });

  it('is renewed once when the own clock runs ahead, not again and again', async () => {
    const authority = await TestAuthority.create();
    const identity = await makeIdentity(authority, { fromSeconds: -60, untilSeconds: 3600 });
    let renewals = 0;
    const farEnd = await startFarEnd(closing, {
      authority,
      server: await authority.issueServer({ untilSeconds: 7 * 24 * 3600 }),
      renew: (request) => {
        renewals++;
        return authority.issueAgent(request);
      },
    });
    const ahead = () => Date.now() + 24 * 3600_000;
    const near = new NearEnd(closing, [farEnd.address], identity, { nowMs: ahead });
    await near.connected();
    await delay(500);
    expect(renewals).toBe(1);
    expect(near.connection.state).toBe('connected');
  });

  it('is renewed when the control plane does not take it', async () => {
    let renewals = 0;
    const farEnd = await startFarEnd(closing, {
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
    const near = new NearEnd(closing, [farEnd.address], await makeIdentity(farEnd.authority));
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
    const farEnd = await startFarEnd(closing, {
      authority,
      renew: (request) => answers.shift()!(request),
    });
    const near = new NearEnd(closing, [farEnd.address], identity);
    await near.connected();
    expect(answers).toEqual([]);
    expect(near.certificates).toHaveLength(1);
  });
});
