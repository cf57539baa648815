import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  openAgentTrust,
  OPEN_POLICY,
  receive,
  requireAdmitted,
  verdictOf,
} from '../../test/fixtures/agent-trust.ts';
import { signAccountKeys } from '../../test/fixtures/chains.ts';
import { createPasskey } from '../../test/fixtures/passkey.ts';
import { classC, createRefusalKit } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import type { RefusalKit } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import { createTrustWorld, createWorldKey, uuidV7 } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld } from '../../test/fixtures/trust-world.ts';
import { openDocument } from '../../proto/documents/document.ts';
import { sealInput } from '../../proto/documents/sealed-input.ts';
import type { Delivery } from '../connection/courier.ts';
import type { AgentTrust } from './agent-trust.ts';
import type { AgentTrustOptions } from './agent-trust.ts';

let world: TrustWorld;
let kit: RefusalKit;
let stateDirectory: string;
const opened: AgentTrust[] = [];

beforeAll(async () => {
  world = await createTrustWorld();
  kit = createRefusalKit(world);
});
beforeEach(async () => {
  stateDirectory = await mkdtemp(path.join(tmpdir(), 'ivat-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (trust) => trust.close()));
  await rm(stateDirectory, { recursive: true });
});

async function openTrust(changes: Partial<AgentTrustOptions> = {}): Promise<AgentTrust> {
  const trust = await openAgentTrust(world, stateDirectory, changes);
  opened.push(trust);
  return trust;
}

const admit = async (trust: AgentTrust, delivery: Delivery) =>
  requireAdmitted(await trust.admit(delivery));

const readReceipt = (envelope: Uint8Array) =>
  openDocument('receipt', envelope, [world.agent.key]).payload;

describe('an order that everybody allows', () => {
  it('is admitted, with all that is needed to carry it out, and a receipt', async () => {
    const trust = await openTrust();
    const delivery = { ...kit.ordered(), auditHead: 'a'.repeat(64) };
    const { order, sealedInputs, receipt } = await admit(trust, delivery);
    expect(order).toMatchObject({
      order: { job: delivery.job },
      action: { id: 'filesystem.check' },
      actionClass: 'A',
      parameters: { device: '/dev/vdb' },
      plan: null,
      engineers: [{ name: 'Ana', role: 'engineer', person: world.engineers[0].person }],
      authorization: { kind: 'grant' },
    });
    expect(sealedInputs).toEqual({});
    expect(readReceipt(receipt)).toEqual({
      statement: 'accepted',
      job: delivery.job,
      server: world.server.id,
      agentKey: world.agent.fingerprint,
      order: order.orderDigest,
      policy: order.policyDigest,
      auditHead: 'a'.repeat(64),
      at: expect.closeTo(world.now, -2) as number,
    });
    expect(trust.ledger.hasJob(delivery.job)).toBe(true);
  });

  it('is admitted with the bytes of its plan', async () => {
    const trust = await openTrust();
    const plan = world.signPlan({ target: { disk: 'wwn-1', sectors: 8 } });
    const delivery = kit.planned(plan, { target: { disk: 'wwn-1', filesystem: 'f-1' } });
    const { order } = await admit(trust, delivery);
    expect(order.plan?.digest).toBe(plan.digest);
    expect(JSON.parse(Buffer.from(order.plan!.payloadBytes).toString())).toEqual(plan.payload);
  });

  it('is admitted with its secrets opened', async () => {
    const trust = await openTrust();
    const job = uuidV7();
    const stdin = await sealInput(world.agent.ageRecipient, job, 'stdin', 'a secret');
    const delivery = kit.ordered({ ...classC, job, sealedInputs: { stdin } });
    expect((await admit(trust, delivery)).sealedInputs).toEqual({ stdin: 'a secret' });
  });

  it('is admitted from the machine it expects', async () => {
    const trust = await openTrust({
      facts: () => ({ serial: 'S1', hostname: 'h', macAddresses: ['AA:BB:CC:00:11:22', 'x'] }),
    });
    const expected = { serial: 'S1', macAddresses: ['aa:bb:cc:00:11:22'] };
    expect(verdictOf(await trust.admit(kit.ordered({ expect: expected })))).toBe('admitted');
  });

  it('is admitted from two engineers where two are needed', async () => {
    const trust = await openTrust();
    const grant = world.signGrant({ engineersForClassC: 2 });
    const signers = world.engineers.map(({ signer }) => signer);
    const order = world.signOrder({ ...classC, authorization: grant.digest }, signers);
    const { order: verified } = await admit(trust, receive(world.deliver(order, grant)));
    expect(verified.engineers.map(({ name }) => name)).toEqual(['Ana', 'Ben']);
  });

  it('is admitted from a lead, whom the root certified', async () => {
    const trust = await openTrust();
    const grant = world.signGrant();
    const order = world.signOrder({ ...classC, authorization: grant.digest }, [world.lead.signer]);
    const { order: verified } = await admit(trust, receive(world.deliver(order, grant)));
    expect(verified.engineers).toMatchObject([{ name: 'Lea', role: 'lead' }]);
  });

  it('is admitted from an engineer whom the root certified', async () => {
    const trust = await openTrust();
    const engineer = world.certify('engineer', world.root.signer);
    const grant = world.signGrant({ engineers: [engineer.fingerprint] });
    const order = world.signOrder({ authorization: grant.digest }, [engineer.signer]);
    const delivery = receive(world.deliver(order, grant));
    expect(verdictOf(await trust.admit({ ...delivery, certifications: [engineer.envelope] }))).toBe(
      'admitted',
    );
  });

  it('is admitted from an engineer with a second, valid certification', async () => {
    const trust = await openTrust();
    const { person, name, key, signer } = world.engineers[0];
    const lead = world.certify('lead', world.root.signer);
    const again = world.certify('engineer', lead.signer, { person, name, keys: [key] });
    await trust.replaceRevocations({ ids: [world.lead.fingerprint], documents: [] });
    const grant = world.signGrant();
    const order = world.signOrder({ authorization: grant.digest }, [signer]);
    const delivery = receive(world.deliver(order, grant));
    expect(verdictOf(await trust.admit(delivery))).toBe('revoked');
    const certifications = [...delivery.certifications, lead.envelope, again.envelope];
    expect(verdictOf(await trust.admit({ ...delivery, certifications }))).toBe('admitted');
  });

  it('is admitted on a grant signed with a passkey of the account', async () => {
    const passkey = createPasskey();
    const keys = signAccountKeys(
      world.account.id,
      [passkey.key, world.account.recovery.key],
      [world.account.signing.signer],
      world.account.envelope,
      { version: 2 },
    );
    const trust = await openTrust();
    await trust.acceptTrust({ rootChain: [], accountKeys: [keys] });
    const { payload } = world.signGrant();
    const envelope = passkey.signDocument('grant', payload);
    const { digest } = openDocument('grant', envelope, [passkey.key]);
    const order = world.signOrder({ ...classC, authorization: digest });
    expect(
      verdictOf(await trust.admit(receive(world.deliver(order, { envelope, digest, payload })))),
    ).toBe('admitted');
  });

  it('is refused on a grant of keys that a revoked key put in the place of its own', async () => {
    const thief = createWorldKey();
    const keys = signAccountKeys(
      world.account.id,
      [thief.key, createWorldKey().key],
      [world.account.signing.signer],
      world.account.envelope,
      { version: 2 },
    );
    const trust = await openTrust();
    const ids = [world.account.signing.fingerprint];
    await trust.replaceRevocations({ ids, documents: [] });
    await expect(trust.acceptTrust({ rootChain: [], accountKeys: [keys] })).rejects.toMatchObject({
      reason: 'revoked',
    });
    const grant = world.signGrant({}, [thief.signer]);
    const order = world.signOrder({ ...classC, authorization: grant.digest });
    expect(verdictOf(await trust.admit(receive(world.deliver(order, grant))))).toBe(
      'signer_unknown',
    );
  });

  it('of class A is admitted from a passkey of an engineer', async () => {
    const passkey = createPasskey();
    const engineer = world.certify('engineer', world.lead.signer, { keys: [passkey.key] });
    const grant = world.signGrant();
    const { payload } = world.signOrder({ authorization: grant.digest });
    const trust = await openTrust();
    expect(
      verdictOf(
        await trust.admit({
          ...receive(world.deliver(world.signOrder(), grant)),
          job: payload.job,
          order: passkey.signDocument('order', payload),
          certifications: [world.lead.envelope, engineer.envelope],
        }),
      ),
    ).toBe('admitted');
  });

  it('is admitted in rescue on an attestation, with two engineers beside who attests', async () => {
    const trust = await openTrust(kit.rescue());
    const third = world.certify('engineer', world.lead.signer, { name: 'Cem' });
    const signers = [world.engineers[0].signer, third.signer];
    const delivery = kit.attested(classC, signers);
    const certifications = [...world.certifications, third.envelope];
    const { order } = await admit(trust, { ...delivery, certifications });
    expect(order.authorization.kind).toBe('attestation');
    expect(verdictOf(await trust.admit(kit.attested()))).toBe('admitted');
  });

  it('is admitted in rescue for the machine it names, by whatever it names it', async () => {
    const trust = await openTrust(kit.rescue());
    const expected = { serial: 'S1', macAddresses: [] };
    const delivery = kit.ordered({ ...classC, expect: expected });
    expect(verdictOf(await trust.admit(delivery))).toBe('admitted');
    const unnamed = kit.ordered({ expect: {} });
    expect(verdictOf(await trust.admit(unnamed))).toBe('admitted');
  });

  it('is admitted with steps that can be undone, where no others are accepted', async () => {
    const trust = await openTrust();
    const careful = { acceptsStepsWithoutUndo: false };
    const delivery = kit.planned(world.signPlan(), {}, careful);
    expect(verdictOf(await trust.admit(delivery))).toBe('admitted');
    const accepting = kit.planned(kit.unsafePlan());
    expect(verdictOf(await trust.admit(accepting))).toBe('admitted');
  });

  it('is admitted with fewer engineers on an attestation where the policy says so', async () => {
    const trust = await openTrust(kit.rescue());
    const text = `${OPEN_POLICY}engineers-for-class-c-attested = 1\n`;
    await writeFile(path.join(stateDirectory, 'policy.toml'), text);
    expect(verdictOf(await trust.admit(kit.attested(classC)))).toBe('admitted');
  });

  it('is admitted in the minute before its time, for clocks differ', async () => {
    const trust = await openTrust();
    const from = { issuedAt: world.now + 45, startBefore: world.now + 600 };
    const grant = { notBefore: world.now + 45 };
    expect(verdictOf(await trust.admit(kit.granted(grant, from)))).toBe('admitted');
  });
});
