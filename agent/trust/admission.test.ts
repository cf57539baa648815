import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { OPEN_POLICY, receive, verdictOf } from '../../test/fixtures/agent-trust.ts';
import { signAccountKeys } from '../../test/fixtures/chains.ts';
import { createPasskey } from '../../test/fixtures/passkey.ts';
import { classC } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import { createWorldKey, uuidV7 } from '../../test/fixtures/trust-world.ts';
import { useOpenedTrust } from '../../test/fixtures/opened-trust.ts';
import { openDocument } from '../../proto/documents/document.ts';
import { sealInput } from '../../proto/documents/sealed-input.ts';

const its = useOpenedTrust();
const { openTrust, admit, readReceipt } = its;

describe('an order that everybody allows', () => {
  it('is admitted, with all that is needed to carry it out, and a receipt', async () => {
    const trust = await openTrust();
    const delivery = { ...its.kit.ordered(), auditHead: 'a'.repeat(64) };
    const { order, sealedInputs, receipt } = await admit(trust, delivery);
    expect(order).toMatchObject({
      order: { job: delivery.job },
      action: { id: 'filesystem.check' },
      actionClass: 'A',
      parameters: { device: '/dev/vdb' },
      plan: null,
      engineers: [{ name: 'Ana', role: 'engineer', person: its.world.engineers[0].person }],
      authorization: { kind: 'grant' },
    });
    expect(sealedInputs).toEqual({});
    expect(readReceipt(receipt)).toEqual({
      statement: 'accepted',
      job: delivery.job,
      server: its.world.server.id,
      agentKey: its.world.agent.fingerprint,
      order: order.orderDigest,
      policy: order.policyDigest,
      auditHead: 'a'.repeat(64),
      at: expect.closeTo(its.world.now, -2) as number,
    });
    expect(trust.ledger.hasJob(delivery.job)).toBe(true);
  });

  it('is admitted with the bytes of its plan', async () => {
    const trust = await openTrust();
    const plan = its.world.signPlan({ target: { sectors: 8 } });
    const delivery = its.kit.planned(plan);
    const { order } = await admit(trust, delivery);
    expect(order.plan?.digest).toBe(plan.digest);
    expect(JSON.parse(Buffer.from(order.plan!.payloadBytes).toString())).toEqual(plan.payload);
  });

  it('is admitted with its secrets opened', async () => {
    const trust = await openTrust();
    const job = uuidV7();
    const stdin = await sealInput(its.world.agent.ageRecipient, job, 'stdin', 'a secret');
    const delivery = its.kit.ordered({ ...classC, job, sealedInputs: { stdin } });
    expect((await admit(trust, delivery)).sealedInputs).toEqual({ stdin: 'a secret' });
  });

  it('is admitted from the machine it expects', async () => {
    const trust = await openTrust({
      facts: () => ({ serial: 'S1', hostname: 'h', macAddresses: ['AA:BB:CC:00:11:22', 'x'] }),
    });
    const expected = { serial: 'S1', macAddresses: ['aa:bb:cc:00:11:22'] };
    expect(verdictOf(await trust.admit(its.kit.ordered({ expect: expected })))).toBe('admitted');
  });

  it('is admitted from two engineers where two are needed', async () => {
    const trust = await openTrust();
    const grant = its.world.signGrant({ engineersForClassC: 2 });
    const signers = its.world.engineers.map(({ signer }) => signer);
    const order = its.world.signOrder({ ...classC, authorization: grant.digest }, signers);
    const { order: verified } = await admit(trust, receive(its.world.deliver(order, grant)));
    expect(verified.engineers.map(({ name }) => name)).toEqual(['Ana', 'Ben']);
  });

  it('is admitted from a lead, whom the root certified', async () => {
    const trust = await openTrust();
    const grant = its.world.signGrant();
    const order = its.world.signOrder({ ...classC, authorization: grant.digest }, [
      its.world.lead.signer,
    ]);
    const { order: verified } = await admit(trust, receive(its.world.deliver(order, grant)));
    expect(verified.engineers).toMatchObject([{ name: 'Lea', role: 'lead' }]);
  });

  it('is admitted from an engineer whom the root certified', async () => {
    const trust = await openTrust();
    const engineer = its.world.certify('engineer', its.world.root.signer);
    const grant = its.world.signGrant({ engineers: [engineer.fingerprint] });
    const order = its.world.signOrder({ authorization: grant.digest }, [engineer.signer]);
    const delivery = receive(its.world.deliver(order, grant));
    expect(verdictOf(await trust.admit({ ...delivery, certifications: [engineer.envelope] }))).toBe(
      'admitted',
    );
  });

  it('is admitted from an engineer with a second, valid certification', async () => {
    const trust = await openTrust();
    const { person, name, key, signer } = its.world.engineers[0];
    const lead = its.world.certify('lead', its.world.root.signer);
    const again = its.world.certify('engineer', lead.signer, { person, name, keys: [key] });
    await trust.replaceRevocations({ ids: [its.world.lead.fingerprint], documents: [] });
    const grant = its.world.signGrant();
    const order = its.world.signOrder({ authorization: grant.digest }, [signer]);
    const delivery = receive(its.world.deliver(order, grant));
    expect(verdictOf(await trust.admit(delivery))).toBe('revoked');
    const certifications = [...delivery.certifications, lead.envelope, again.envelope];
    expect(verdictOf(await trust.admit({ ...delivery, certifications }))).toBe('admitted');
  });

  it('is admitted on a grant signed with a passkey of the account', async () => {
    const passkey = createPasskey();
    const keys = signAccountKeys(
      its.world.account.id,
      [passkey.key, its.world.account.recovery.key],
      [its.world.account.signing.signer],
      its.world.account.envelope,
      { version: 2 },
    );
    const trust = await openTrust();
    await trust.acceptTrust({ rootChain: [], accountKeys: [keys] });
    const { payload } = its.world.signGrant();
    const envelope = passkey.signDocument('grant', payload);
    const { digest } = openDocument('grant', envelope, [passkey.key]);
    const order = its.world.signOrder({ ...classC, authorization: digest });
    expect(
      verdictOf(
        await trust.admit(receive(its.world.deliver(order, { envelope, digest, payload }))),
      ),
    ).toBe('admitted');
  });

  it('is refused on a grant of keys that a revoked key put in the place of its own', async () => {
    const thief = createWorldKey();
    const keys = signAccountKeys(
      its.world.account.id,
      [thief.key, createWorldKey().key],
      [its.world.account.signing.signer],
      its.world.account.envelope,
      { version: 2 },
    );
    const trust = await openTrust();
    const ids = [its.world.account.signing.fingerprint];
    await trust.replaceRevocations({ ids, documents: [] });
    await expect(trust.acceptTrust({ rootChain: [], accountKeys: [keys] })).rejects.toMatchObject({
      reason: 'revoked',
    });
    const grant = its.world.signGrant({}, [thief.signer]);
    const order = its.world.signOrder({ ...classC, authorization: grant.digest });
    expect(verdictOf(await trust.admit(receive(its.world.deliver(order, grant))))).toBe(
      'signer_unknown',
    );
  });

  it('of class A is admitted from a passkey of an engineer', async () => {
    const passkey = createPasskey();
    const engineer = its.world.certify('engineer', its.world.lead.signer, { keys: [passkey.key] });
    const grant = its.world.signGrant();
    const { payload } = its.world.signOrder({ authorization: grant.digest });
    const trust = await openTrust();
    expect(
      verdictOf(
        await trust.admit({
          ...receive(its.world.deliver(its.world.signOrder(), grant)),
          job: payload.job,
          order: passkey.signDocument('order', payload),
          certifications: [its.world.lead.envelope, engineer.envelope],
        }),
      ),
    ).toBe('admitted');
  });

  it('is admitted in rescue on an attestation, with two engineers beside who attests', async () => {
    const trust = await openTrust(its.kit.rescue());
    const third = its.world.certify('engineer', its.world.lead.signer, { name: 'Cem' });
    const signers = [its.world.engineers[0].signer, third.signer];
    const delivery = its.kit.attested(classC, signers);
    const certifications = [...its.world.certifications, third.envelope];
    const { order } = await admit(trust, { ...delivery, certifications });
    expect(order.authorization.kind).toBe('attestation');
    expect(verdictOf(await trust.admit(its.kit.attested()))).toBe('admitted');
  });

  it('is admitted in rescue for the machine it names, by whatever it names it', async () => {
    const trust = await openTrust(its.kit.rescue());
    const expected = { serial: 'S1', macAddresses: [] };
    const delivery = its.kit.ordered({ ...classC, expect: expected });
    expect(verdictOf(await trust.admit(delivery))).toBe('admitted');
    const unnamed = its.kit.ordered({ expect: {} });
    expect(verdictOf(await trust.admit(unnamed))).toBe('admitted');
  });

  it('is admitted with steps that can be undone, where no others are accepted', async () => {
    const trust = await openTrust();
    const careful = { acceptsStepsWithoutUndo: false };
    const delivery = its.kit.planned(its.world.signPlan(), {}, careful);
    expect(verdictOf(await trust.admit(delivery))).toBe('admitted');
    const accepting = its.kit.planned(its.kit.unsafePlan());
    expect(verdictOf(await trust.admit(accepting))).toBe('admitted');
  });

  it('is admitted with fewer engineers on an attestation where the policy says so', async () => {
    const trust = await openTrust(its.kit.rescue());
    const text = `${OPEN_POLICY}engineers-for-class-c-attested = 1\n`;
    await writeFile(path.join(its.stateDirectory, 'policy.toml'), text);
    expect(verdictOf(await trust.admit(its.kit.attested(classC)))).toBe('admitted');
  });

  it('is admitted in the minute before its time, for clocks differ', async () => {
    const trust = await openTrust();
    const from = { issuedAt: its.world.now + 45, startBefore: its.world.now + 600 };
    const grant = { notBefore: its.world.now + 45 };
    expect(verdictOf(await trust.admit(its.kit.granted(grant, from)))).toBe('admitted');
  });
});
