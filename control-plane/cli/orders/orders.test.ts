import { describe, expect, it } from 'vitest';
import { commandRun } from '../../../proto/actions/command.ts';
import { filesystemCheck, filesystemRepair } from '../../../proto/actions/filesystem.ts';
import { openDocument } from '../../../proto/documents/document.ts';
import { openSealedInput } from '../../../proto/documents/sealed-input.ts';
import { createTrustWorld } from '../../../test/fixtures/trust-world.ts';
import type { TrustWorld } from '../../../test/fixtures/trust-world.ts';
import type { AgentBody, GrantBody, JobBody } from '../api/bodies.ts';
import { buildOrder, defaultRuntimeSeconds, expectedIdentity } from './build-order.ts';
import { findPlan } from './find-plan.ts';
import { chooseGrant } from './grant-choice.ts';
import { readPlan, shortDigest } from './read-plan.ts';
import { uuidV7 } from './uuid-v7.ts';

const world = await createTrustWorld();

function agentOf({ agent, server }: TrustWorld): AgentBody {
  return {
    id: '0a000000-0000-4000-8000-000000000001',
    serverId: server.id,
    serverName: server.name,
    mode: 'resident',
    keyFingerprint: agent.fingerprint,
    ageRecipient: agent.ageRecipient,
    version: '1',
    state: 'connected',
    locked: false,
    lastSeenAt: null,
    facts: { hostname: 'web-04', serial: '', machineId: 7, macAddresses: ['aa', 3] },
    actions: [],
    documentTypes: [],
  };
}

function grantBody(changes: Parameters<TrustWorld['signGrant']>[0] = {}): GrantBody {
  const { envelope, payload } = world.signGrant(changes);
  return {
    state: 'valid',
    number: 1,
    id: payload.id,
    envelope: Buffer.from(envelope).toString('base64'),
  } as GrantBody;
}

describe('an order', () => {
  const request = {
    action: commandRun,
    mode: 'apply' as const,
    server: world.server.id,
    identity: null,
    agent: agentOf(world),
    parameters: { argv: ['id'] },
    authorization: null,
    plan: null,
    undoes: null,
    target: null,
    secrets: { stdin: 'hunter2' },
    given: {},
    maxRuntimeSeconds: null,
    onDisconnect: 'stop' as const,
    reason: 'why',
    nowMs: world.now * 1000,
  };

  it('is signed for one server and one agent, once, for a quarter of an hour', async () => {
    const { order, envelope } = await buildOrder(request, world.engineers[0].signer);
    const opened = openDocument('order', envelope, [world.engineers[0].key]);
    expect(opened.payload).toEqual(order);
    expect(order).toMatchObject({
      server: world.server.id,
      agentKey: world.agent.fingerprint,
      startBefore: world.now + 900,
      maxRuntimeSeconds: 3600,
      onDisconnect: 'stop',
      expect: { hostname: 'web-04' },
    });
    const again = await buildOrder(request, world.engineers[0].signer);
    expect(again.order.nonce).not.toBe(order.nonce);
    expect(again.order.job).not.toBe(order.job);
  });

  it('carries secrets sealed to its agent and its job, never in the clear', async () => {
    const { order, envelope } = await buildOrder(request, world.engineers[0].signer);
    expect(Buffer.from(envelope).toString()).not.toContain('hunter2');
    const sealed = order.sealedInputs['stdin'] ?? '';
    const { ageIdentity } = world.agent;
    expect(await openSealedInput(ageIdentity, order.job, 'stdin', sealed)).toBe('hunter2');
    await expect(openSealedInput(ageIdentity, uuidV7(1), 'stdin', sealed)).rejects.toThrow(
      'sealed for another job',
    );
  });

  it('refuses a secret that does not fit', async () => {
    const secrets = { stdin: 'x'.repeat(15_000) };
    await expect(
      buildOrder({ ...request, secrets }, world.engineers[0].signer),
    ).rejects.toMatchObject({ code: 'secret_too_large' });
  });

  it('gives more time to what may not be cut short', () => {
    expect(defaultRuntimeSeconds(filesystemRepair)).toBeGreaterThan(
      defaultRuntimeSeconds(filesystemCheck),
    );
  });

  it('expects in rescue what an engineer confirmed, and nothing before that', () => {
    const rescue = { ...agentOf(world), mode: 'rescue' as const };
    const confirmed = {
      serial: 'CZ1',
      macAddresses: ['52:54:00:00:00:01'],
      hostname: 'rescue',
      confirmedBy: 'Ana',
      confirmedAt: '2026-11-25T03:11:00.000Z',
    };
    const { confirmedBy: _, confirmedAt: __, ...identity } = confirmed;
    expect(expectedIdentity(rescue, null)).toEqual({});
    expect(expectedIdentity(rescue, confirmed)).toEqual(identity);
    expect(expectedIdentity(rescue, { ...confirmed, serial: null })).not.toHaveProperty('serial');
  });

  it('expects of a server that opted in what it says of itself, but network addresses', () => {
    expect(expectedIdentity(agentOf(world), null)).toEqual({ hostname: 'web-04' });
  });

  it('has an id that sorts by the time it was made', () => {
    const ids = [1, 2, 3_000_000_000_000].map(uuidV7);
    expect(ids.toSorted()).toEqual(ids);
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

describe('the authorization an order is sent with', () => {
  const order = {
    server: world.server.id,
    identity: null,
    agentKey: world.agent.fingerprint,
    action: 'filesystem.check',
    mode: 'apply' as const,
    parameters: { device: '/dev/vdb' },
  };
  const own = world.engineers[0].fingerprint;
  const choose = (...grants: GrantBody[]) =>
    chooseGrant(grants, order, filesystemCheck, world.now, own);

  it('is no attestation of the same engineer', () => {
    const { envelope, payload } = world.signAttestation({}, [world.engineers[0].signer]);
    const attested = {
      number: 312,
      state: 'valid',
      kind: 'attestation',
      id: payload.id,
      signedBy: own,
      envelope: Buffer.from(envelope).toString('base64'),
    } as GrantBody;
    expect(choose(attested)).toMatchObject({
      grant: null,
      why: { reason: 'attestation_not_allowed' },
    });
    const other = { ...attested, signedBy: world.engineers[1].fingerprint };
    expect(choose(other).grant?.body.number).toBe(312);
  });

  it('is one that covers it, the longest still to run', () => {
    const long = grantBody({ expiresAt: world.now + 9 * 3600 });
    const choice = choose(
      grantBody(),
      long,
      grantBody({ actions: [{ pattern: 'command.run' }], expiresAt: world.now + 10 * 3600 }),
    );
    expect(choice.grant?.body.id).toBe(long.id);
  });

  it('is none when none covers it; what the last one lacked is told', () => {
    expect(choose()).toEqual({ grant: null, why: null });
    expect(choose(grantBody({ actions: [{ pattern: 'command.run' }] }))).toMatchObject({
      grant: null,
      why: { reason: 'grant_action_not_covered' },
    });
  });

  it('is never one that is over, not begun, revoked or unreadable', () => {
    expect(choose(grantBody({ expiresAt: world.now }))).toEqual({ grant: null, why: null });
    expect(choose(grantBody({ notBefore: world.now + 5, expiresAt: world.now + 50 }))).toEqual({
      grant: null,
      why: null,
    });
    expect(choose({ ...grantBody(), state: 'revoked' })).toEqual({ grant: null, why: null });
    expect(choose({ ...grantBody(), envelope: 'AAAA' })).toEqual({ grant: null, why: null });
  });
});

describe('a plan', () => {
  const signed = world.signPlan();
  const envelope = Buffer.from(signed.envelope).toString('base64');

  it('has the digest of the bytes that are shown', () => {
    expect(readPlan(envelope, null)).toEqual({ plan: signed.payload, digest: signed.digest });
    expect(shortDigest(signed.digest)).toBe(signed.digest.slice(7, 13));
  });

  it('is refused when the control plane names another digest, or it is none', () => {
    expect(() => readPlan(envelope, `sha256:${'0'.repeat(64)}`)).toThrow(
      expect.objectContaining({ code: 'plan_mismatch', exitStatus: 3 }),
    );
    expect(() => readPlan('AAAA', null)).toThrow(
      expect.objectContaining({ code: 'plan_malformed' }),
    );
    const order = Buffer.from(world.signOrder().envelope).toString('base64');
    expect(() => readPlan(order, null)).toThrow(
      expect.objectContaining({ code: 'plan_malformed' }),
    );
  });

  const job = (name: string, id: string, hash: string, mode = 'plan') =>
    ({ name, id, mode, planDigest: `sha256:${hash.padEnd(64, '0')}` }) as unknown as JobBody;
  const jobs = [
    job('1042/3', '01900000-0000-7000-8000-00000000aaaa', '5b1e9c'),
    job('1042/1', '01900000-0000-7000-8000-00000000bbbb', '5b1eff'),
    job('1042/2', '01900000-0000-7000-8000-00000000cccc', '5b1eff'),
    job('1042/4', '01900000-0000-7000-8000-00000000dddd', '77777', 'apply'),
  ];

  it.each([
    '5b1e9c',
    'sha256:5b1e9c',
    '1042/3',
    '01900000-0000-7000-8000-00000000aaaa',
    '0000aaaa',
  ])('is found by %s', (named) => {
    expect(findPlan(jobs, named, 'web-04').name).toBe('1042/3');
  });

  it('made twice with the same bytes is one plan', () => {
    expect(findPlan(jobs, '5b1eff', 'web-04').name).toBe('1042/1');
  });

  it('is not guessed', () => {
    expect(() => findPlan(jobs, '5b1e', 'web-04')).toThrow(
      expect.objectContaining({ code: 'ambiguous', exitStatus: 2 }),
    );
    const digest = `sha256:${'0'.repeat(64)}`;
    for (const named of ['9999', '5b1', 'sha256:5b1', '77777', '1042/4', digest]) {
      const short = named.endsWith('5b1') ? '; at least four digits are needed' : '';
      const happened = `There is no plan "${named}" for web-04${short}.`;
      expect(() => findPlan(jobs, named, 'web-04')).toThrow(
        expect.objectContaining({ code: 'plan_not_found', exitStatus: 2, message: happened }),
      );
    }
  });
});
