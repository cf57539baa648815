import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeEnvelope, parseEnvelope } from '../../proto/documents/dsse.ts';
import { digestOf, readUnverified, signDocument } from '../../proto/documents/document.ts';
import { generateSigningKey, keyFingerprint } from '../../proto/documents/keys.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { Grant } from '../../proto/documents/kinds/grant.ts';
import type { JobDelivery } from '../../proto/wire.ts';
import { uuidV7 } from '../fixtures/trust-world.ts';
import { LyingControlPlane } from '../harness/lying-control-plane.ts';
import { eventually } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';

/**
 * Whoever takes over the control plane has its TLS key and its whole database, but nobody's signing key.
 * Everything they can build from that is tried; the agent must start nothing.
 */
describe('a control plane that lies', () => {
  let stack: Stack;
  let liar: LyingControlPlane;
  let order: Uint8Array;
  let grant: Uint8Array;
  let certifications: Uint8Array[];
  let rootChain: Uint8Array[];
  let accountKeys: Uint8Array[];
  const mine = generateSigningKey().signer;
  const now = () => Math.floor(Date.now() / 1000);
  const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));
  const marker = () => path.join(stack.folder, 'marker');

  beforeAll(async () => {
    stack = await Stack.start();
    await stack.authorize('command.run');
    const real = await stack.json<{ id: string }>(
      'lead',
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--detach',
      '--',
      'sh',
      '-c',
      `echo started >> ${marker()}`,
    );
    await eventually(
      'the real job ended',
      async () => (await stack.job(real.id)).state === 'succeeded',
    );
    type Items = { items: { envelope: string }[] };
    const documents = await stack.request<{ order: string }>(
      'lead',
      'GET',
      `/api/v1/jobs/${real.id}/documents`,
    );
    order = bytes(documents.order);
    const grants = await stack.request<Items>('lead', 'GET', '/api/v1/grants');
    grant = bytes(grants.items[0]!.envelope);
    certifications = (
      await stack.request<Items>('lead', 'GET', '/api/v1/trust/certifications')
    ).items.map((item) => bytes(item.envelope));
    rootChain = (await stack.request<Items>('lead', 'GET', '/api/v1/trust/root')).items.map(
      (item) => bytes(item.envelope),
    );
    accountKeys = (
      await stack.request<Items>('carol', 'GET', '/api/v1/accounts/acme/keys')
    ).items.map((item) => bytes(item.envelope));
    const [agent] = (
      await stack.request<{ items: { id: string; serverId: string }[] }>(
        'lead',
        'GET',
        '/api/v1/agents',
      )
    ).items;
    await stack.controlPlane.end('SIGTERM');
    liar = await LyingControlPlane.start(stack.data, stack.agentPort, {
      agentId: agent!.id,
      serverId: agent!.serverId,
      accountId: readUnverified('account-keys', accountKeys[0]!).payload.account,
    });
    await eventually('the agent meets the liar', () => liar.isConnected, 60_000);
  });
  afterAll(async () => {
    await liar?.close();
    await stack?.close();
  });

  /** Delivers a job and gives the agent's refusal, or null when it did not refuse within 5 s. */
  async function deliver(delivery: JobDelivery): Promise<string | null> {
    const from = liar.answers.length;
    liar.say({
      job: {
        auditHead: '0'.repeat(64),
        plan: Buffer.alloc(0),
        authorization: Buffer.from(grant),
        certifications: certifications.map((entry) => Buffer.from(entry)),
        ...delivery,
      },
    });
    for (let tries = 0; tries < 100; tries++) {
      const receipt = liar.answers
        .slice(from)
        .find((answer) => answer.receipt?.jobId === delivery.jobId)?.receipt;
      if (receipt?.receipt !== undefined) {
        const said = readUnverified('receipt', receipt.receipt).payload;
        return said.statement === 'refused' ? said.reason : null;
      }
      await delay(50);
    }
    return null;
  }

  const original = () => readUnverified('order', order).payload;

  function fresh(change: Partial<Order> = {}): Order {
    return {
      ...original(),
      job: uuidV7(),
      nonce: Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64url'),
      issuedAt: now(),
      startBefore: now() + 600,
      ...change,
    };
  }

  async function expectRefused(
    name: string,
    delivery: JobDelivery,
    reasons: string[],
  ): Promise<void> {
    const reason = await deliver(delivery);
    expect(reasons, `${name}: ${reason}`).toContain(reason);
    expect(readFileSync(marker(), 'utf8'), name).toBe('started\n');
  }

  it('cannot make an executed order run again', async () => {
    liar.say({
      job: {
        jobId: original().job,
        order: Buffer.from(order),
        authorization: Buffer.from(grant),
        certifications: certifications.map((entry) => Buffer.from(entry)),
        plan: Buffer.alloc(0),
        auditHead: '',
      },
    });
    await delay(2_000);
    expect(readFileSync(marker(), 'utf8')).toBe('started\n');
  });

  it('cannot pass the old order off as another job', async () => {
    await expectRefused('other id', { jobId: uuidV7(), order: Buffer.from(order) }, [
      'payload_malformed',
      'nonce_used',
      'envelope_malformed',
    ]);
  });

  it('cannot change a signed order', async () => {
    const envelope = parseEnvelope(order);
    const changed = fresh();
    const forged = encodeEnvelope({ ...envelope, payload: Buffer.from(JSON.stringify(changed)) });
    await expectRefused('changed payload', { jobId: changed.job, order: Buffer.from(forged) }, [
      'signature_invalid',
    ]);
  });

  it('cannot sign an order with a key of its own', async () => {
    const forged = fresh();
    await expectRefused(
      'own key',
      { jobId: forged.job, order: Buffer.from(signDocument('order', forged, [mine])) },
      ['signer_unknown'],
    );
  });

  it('cannot certify an engineer of its own', async () => {
    const forged = fresh();
    const person = {
      person: '00000000-0000-4000-8000-000000000001',
      name: 'mallory',
      keys: [mine.key],
      notBefore: now() - 60,
      expiresAt: now() + 3600,
    };
    const lead = signDocument('lead', person, [mine]);
    const engineer = signDocument('engineer', person, [mine]);
    await expectRefused(
      'own engineer',
      {
        jobId: forged.job,
        order: Buffer.from(signDocument('order', forged, [mine])),
        certifications: [...certifications, lead, engineer].map((entry) => Buffer.from(entry)),
      },
      ['signer_unknown', 'signature_invalid'],
    );
  });

  it('cannot put a root of its own in place of the pinned one', async () => {
    const ownRoot = signDocument(
      'root',
      {
        version: 1,
        previous: null,
        issuedAt: now(),
        threshold: 1,
        keys: [{ key: mine.key, name: 'mallory', may: ['lead', 'engineer', 'revoke'] }],
      },
      [mine],
    );
    const successor = signDocument(
      'root',
      {
        version: 2,
        previous: digestOf(rootChain[0]!),
        issuedAt: now(),
        threshold: 1,
        keys: [{ key: mine.key, name: 'mallory', may: ['lead', 'engineer', 'revoke'] }],
      },
      [mine],
    );
    liar.say({ trust: { rootChain: [Buffer.from(ownRoot)], accountKeys: [] } });
    liar.say({
      trust: {
        rootChain: [...rootChain, successor].map((entry) => Buffer.from(entry)),
        accountKeys: [],
      },
    });
    const forged = fresh();
    const person = {
      person: '00000000-0000-4000-8000-000000000001',
      name: 'mallory',
      keys: [mine.key],
      notBefore: now() - 60,
      expiresAt: now() + 3600,
    };
    await expectRefused(
      'own root',
      {
        jobId: forged.job,
        order: Buffer.from(signDocument('order', forged, [mine])),
        certifications: [Buffer.from(signDocument('engineer', person, [mine]))],
      },
      ['signer_unknown', 'signature_invalid'],
    );
  });

  it('cannot replace the account keys and grant to itself', async () => {
    const account = readUnverified('account-keys', accountKeys[0]!).payload.account;
    const second = generateSigningKey().signer;
    const own = signDocument(
      'account-keys',
      {
        account,
        version: 2,
        previous: digestOf(accountKeys.at(-1)!),
        issuedAt: now(),
        keys: [
          { key: mine.key, name: 'mallory', use: 'signing' },
          { key: second.key, name: 'mallory', use: 'recovery' },
        ],
      },
      [mine],
    );
    liar.say({
      trust: {
        rootChain: [],
        accountKeys: [...accountKeys, own].map((entry) => Buffer.from(entry)),
      },
    });
    const widened: Grant = {
      ...readUnverified('grant', grant).payload,
      actions: [{ pattern: '*' }],
    };
    const forgedGrant = signDocument('grant', widened, [mine]);
    const forged = fresh({ authorization: digestOf(forgedGrant) });
    await expectRefused(
      'own grant',
      {
        jobId: forged.job,
        order: Buffer.from(signDocument('order', forged, [mine])),
        authorization: Buffer.from(forgedGrant),
      },
      ['signer_unknown', 'signature_invalid'],
    );
  });

  it('cannot deliver an order to an agent with another grant, or with none', async () => {
    const other = signDocument('grant', readUnverified('grant', grant).payload, [mine]);
    const envelope = parseEnvelope(order);
    const payload = { ...original(), job: uuidV7() };
    for (const authorization of [Buffer.alloc(0), Buffer.from(other)]) {
      await expectRefused(
        'grant swapped',
        {
          jobId: payload.job,
          order: Buffer.from(
            encodeEnvelope({ ...envelope, payload: Buffer.from(JSON.stringify(payload)) }),
          ),
          authorization,
        },
        ['signature_invalid'],
      );
    }
  });

  it('cannot crash or confuse the agent with rubbish', async () => {
    for (const rubbish of [
      Buffer.alloc(0),
      Buffer.from('{}'),
      Buffer.from('[[[[[[[[[['),
      Buffer.alloc(200_000, 0x7b),
      Buffer.from([0xff, 0xfe]),
    ]) {
      const reason = await deliver({ jobId: uuidV7(), order: rubbish });
      expect(['envelope_malformed', 'document_too_large']).toContain(reason);
    }
    liar.say({ cancel: { jobId: 'no such job', mode: 'sideways' } });
    liar.say({ revocations: { ids: ['x'.repeat(100)], documents: [Buffer.from('rubbish')] } });
    liar.say({ acknowledged: { jobId: '../../etc', receipt: true, ended: true } });
    liar.say({});
    const forged = fresh();
    await expectRefused(
      'still there',
      { jobId: forged.job, order: Buffer.from(signDocument('order', forged, [mine])) },
      ['signer_unknown'],
    );
  });

  it('started nothing at all', () => {
    const started = readdirSync(path.join(stack.state, 'jobs')).filter(
      (folder) =>
        folder !== original().job &&
        !folder.startsWith('spare') &&
        existsSync(path.join(stack.state, 'jobs', folder, 'journal')),
    );
    expect(started).toEqual([]);
    expect(keyFingerprint(mine.key)).toMatch(/^SHA256:/);
    expect(readFileSync(marker(), 'utf8')).toBe('started\n');
  });
});
