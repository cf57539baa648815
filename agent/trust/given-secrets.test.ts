import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { receive, requireAdmitted } from '../../test/fixtures/agent-trust.ts';
import { signAccountKeys } from '../../test/fixtures/chains.ts';
import { useOpenedTrust } from '../../test/fixtures/opened-trust.ts';
import { createPasskey } from '../../test/fixtures/passkey.ts';
import { classC } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import { createWorldKey, uuidV7 } from '../../test/fixtures/trust-world.ts';
import type { SignedDocument } from '../../test/fixtures/trust-world.ts';
import { DISK_KEY, type ActionDeclaration } from '../../proto/actions/declaration.ts';
import { findAction } from '../../proto/actions/catalogue.ts';
import { digestOf } from '../../proto/documents/document.ts';
import { givenReference } from '../../proto/documents/given-reference.ts';
import { sealGivenSecret } from '../../proto/documents/given-secret.ts';
import type { GivenFor } from '../../proto/documents/given-secret.ts';
import type { Signer } from '../../proto/documents/keys.ts';
import type { Credential } from '../../proto/documents/kinds/credential.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import { sealInput } from '../../proto/documents/sealed-input.ts';
import { sealedDigest } from '../../proto/documents/sealed-output.ts';
import type { DeliveredSecret, Delivery } from '../connection/courier.ts';

const its = useOpenedTrust();
const SECRET = 'what only the client and the agent know';

let grant: SignedDocument<'grant'>;
beforeEach(() => {
  grant = its.world.signGrant();
});

interface Given extends DeliveredSecret {
  digest: string;
  credential: Credential;
}

/** A secret as the client's program gives it. `inside` is what the age file says it is for. */
async function give(
  changes: Partial<Credential> = {},
  inside: Partial<GivenFor> = {},
  signers: Signer[] = [its.world.account.signing.signer],
): Promise<Given> {
  const id = changes.id ?? randomUUID();
  const { payload } = its.world.signCredential({ grant: grant.digest, ...changes, id });
  const recipient = its.world.agent.ageRecipient;
  const sealed = await sealGivenSecret(recipient, { ...payload, ...inside }, SECRET);
  const full = { ...payload, sealed: changes.sealed ?? sealedDigest(sealed) };
  const { envelope, digest } = its.world.signCredential(full, signers);
  return { document: envelope, sealed, digest, credential: full };
}

/** An order under the grant that names the secret for `stdin`, with everything that belongs to it. */
function order(given: Given, changes: Partial<Order> = {}, brought: DeliveredSecret[] = [given]) {
  const sealedInputs = { stdin: givenReference(given.digest) };
  const base = { ...classC, authorization: grant.digest, sealedInputs };
  const signed = its.world.signOrder({ ...base, ...changes });
  return { ...receive(its.world.deliver(signed, grant)), given: brought };
}

async function refusalOf(delivery: Delivery): Promise<string> {
  const trust = its.opened[0] ?? (await its.openTrust());
  const admission = await trust.admit(delivery);
  if (admission.admitted) throw new Error('it was admitted');
  expect(admission.detail).not.toContain(SECRET);
  return `${admission.reason}: ${admission.detail}`;
}

describe('a secret that the client gave', () => {
  it('is opened for the action it was given for, under its grant, as often as it is ordered', async () => {
    const trust = await its.openTrust();
    const given = await give();
    for (let time = 0; time < 2; time++) {
      const job = uuidV7();
      const nonce = Buffer.alloc(16, time).toString('base64url');
      const admission = requireAdmitted(await trust.admit(order(given, { job, nonce })));
      expect(admission.sealedInputs).toEqual({ stdin: SECRET });
    }
  });

  it('is not needed where it comes although the order does not name it', async () => {
    const trust = await its.openTrust();
    const delivery = order(await give(), { sealedInputs: {} });
    expect(requireAdmitted(await trust.admit(delivery)).sealedInputs).toEqual({});
  });

  it.each<[string, Partial<Credential>]>([
    ['grant', { grant: `sha256:${'1'.repeat(64)}` }],
    ['server', { server: randomUUID() }],
    ['agentKey', { agentKey: createWorldKey().fingerprint }],
    ['account', { account: randomUUID() }],
    ['action', { action: 'terminal.open' }],
    ['input', { input: 'password' }],
  ])('that was given for another %s is not opened', async (name, changes) => {
    expect(await refusalOf(order(await give(changes)))).toMatch(
      `sealed_input_unreadable: "stdin": it was given for another ${name}`,
    );
  });

  it.each<[string, Partial<GivenFor>]>([
    ['grant', { grant: `sha256:${'1'.repeat(64)}` }],
    ['server', { server: randomUUID() }],
    ['action', { action: 'terminal.open' }],
    ['input', { input: 'password' }],
    ['id', { id: randomUUID() }],
  ])('of another %s is not opened although somebody signed it anew', async (name, inside) => {
    expect(await refusalOf(order(await give({}, inside)))).toBe(
      `sealed_input_unreadable: a secret that was given for another ${name}`,
    );
  });

  it('is not opened for another action that takes an input of the same name', async () => {
    const twin: ActionDeclaration = { ...findAction('command.run')!, id: 'command.twin' };
    await its.openTrust({
      findAction: (id) => (id === 'command.twin' ? twin : findAction(id)),
    });
    const delivery = order(await give(), { action: 'command.twin' });
    expect(await refusalOf(delivery)).toMatch('it was given for another action');
  });

  it('is not opened for an action that takes no such secret', async () => {
    const given = await give({ action: 'filesystem.check' });
    const delivery = order(given, { action: 'filesystem.check', parameters: { device: '/dev/a' } });
    expect(await refusalOf(delivery)).toMatch('filesystem.check takes no secret "stdin"');
  });

  it('is not opened under an attestation, also of the same id', async () => {
    await its.openTrust(its.kit.rescue());
    const given = await give();
    const attestation = its.world.signAttestation({ ...grant.payload });
    const third = its.world.certify('engineer', its.world.lead.signer);
    const signed = its.world.signOrder(
      {
        ...classC,
        authorization: attestation.digest,
        expect: { serial: 'S1' },
        sealedInputs: { stdin: givenReference(given.digest) },
      },
      [its.world.engineers[0].signer, third.signer],
    );
    const certifications = [...its.world.certifications, third.envelope];
    const delivery = {
      ...receive(its.world.deliver(signed, attestation)),
      certifications,
      given: [given],
    };
    expect(await refusalOf(delivery)).toMatch('it was given for another grant');
  });

  it('is not opened under another grant of the same client', async () => {
    const given = await give();
    grant = its.world.signGrant({ id: grant.payload.id, ticket: 'T-2' });
    expect(await refusalOf(order(given))).toMatch('it was given for another grant');
  });

  it.each<[string, () => Signer, string]>([
    ['an engineer', () => its.world.engineers[0].signer, 'signer_unknown'],
    ['the recovery key', () => its.world.account.recovery.signer, 'type_not_allowed_for_key'],
    ['nobody known', () => createWorldKey().signer, 'signer_unknown'],
  ])('signed by %s is none of the client', async (_who, signer, reason) => {
    expect(await refusalOf(order(await give({}, {}, [signer()])))).toMatch(reason);
  });

  it('signed with a passkey could be that of the page it was used on', async () => {
    const passkey = createPasskey();
    const { account } = its.world;
    // The last one is for recovery.
    const keys = [account.signing.key, passkey.key, account.recovery.key];
    const next = signAccountKeys(account.id, keys, [account.signing.signer], account.envelope, {
      version: 2,
    });
    const trust = await its.openTrust();
    await trust.acceptTrust({ rootChain: [], accountKeys: [next] });
    const given = await give();
    const document = passkey.signDocument('credential', given.credential);
    const digest = digestOf(document);
    const delivery = order({ ...given, document, digest });
    expect(await refusalOf(delivery)).toBe(
      'type_not_allowed_for_key: a passkey signs no credentials',
    );
  });

  it('is not replaced by another one that was sealed to the agent', async () => {
    const given = await give();
    const forged = await sealGivenSecret(
      its.world.agent.ageRecipient,
      given.credential,
      'rm -rf /',
    );
    const delivery = order(given, {}, [{ document: given.document, sealed: forged }]);
    expect(await refusalOf(delivery)).toMatch('not the secret that the client signed');
  });

  it('is not replaced by another one that the client gave', async () => {
    const [one, two] = [await give(), await give()];
    const swapped = [{ document: one.document, sealed: two.sealed }, two];
    expect(await refusalOf(order(one, {}, swapped))).toMatch(
      'not the secret that the client signed',
    );
    expect(await refusalOf(order(one, {}, [two]))).toMatch('did not come');
  });

  it('cannot be put into an order as if an engineer had sealed it, nor the other way round', async () => {
    const given = await give();
    const stdin = Buffer.from(given.sealed).toString('base64');
    expect(await refusalOf(order(given, { sealedInputs: { stdin } }))).toMatch(
      'sealed_input_unreadable',
    );
    const job = uuidV7();
    const own = await sealInput(its.world.agent.ageRecipient, job, 'stdin', 'rm -rf /');
    const sealed = Buffer.from(own, 'base64');
    const other = await give({ sealed: sealedDigest(sealed) });
    const delivery = order(other, { job }, [{ document: other.document, sealed }]);
    expect(await refusalOf(delivery)).toMatch('sealed_input_unreadable');
  });

  it('is not opened when it did not come, or nothing but junk did', async () => {
    const given = await give();
    const junk = { document: Buffer.from('junk'), sealed: Buffer.from('junk') };
    for (const brought of [[], [junk]]) {
      expect(await refusalOf(order(given, {}, brought))).toMatch(
        'sealed_input_unreadable: "stdin": what the client gave did not come',
      );
    }
  });

  it('is not opened to undo what a job did', async () => {
    const repair = findAction('filesystem.repair')!;
    const trust = await its.openTrust({
      findAction: () => ({ ...repair, sealedInputs: ['stdin'] }),
    });
    const given = await give({ action: repair.id });
    const delivery = await its.kit.undone(trust, {
      sealedInputs: { stdin: givenReference(given.digest) },
    });
    expect(await refusalOf({ ...delivery, given: [given] })).toMatch('not for an undo');
  });

  it('opens the disks of a target, and is no secret of the running system', async () => {
    const given = await give({ action: 'diagnostics.collect', input: DISK_KEY });
    const look: Partial<Order> = {
      ...{ action: 'diagnostics.collect', parameters: {}, target: { disk: 'all' } },
      sealedInputs: { [DISK_KEY]: givenReference(given.digest) },
    };
    const trust = await its.openTrust();
    const admission = requireAdmitted(await trust.admit(order(given, look)));
    expect(admission.sealedInputs).toEqual({ [DISK_KEY]: SECRET });
    expect(await refusalOf(order(given, { ...look, target: null, job: uuidV7() }))).toMatch(
      'diagnostics.collect takes no secret "disk-key"',
    );
  });

  it('opens the disks of a target for an undo, too', async () => {
    const repair = findAction('filesystem.repair')!;
    const trust = await its.openTrust({ findAction: () => ({ ...repair, plans: false }) });
    const given = await give({ action: repair.id, input: DISK_KEY });
    const applied: Partial<Order> = {
      ...{ action: repair.id, parameters: { partition: 2 }, target: { disk: 'all' } },
      sealedInputs: { [DISK_KEY]: givenReference(given.digest) },
      job: uuidV7(),
    };
    requireAdmitted(await trust.admit(order(given, applied)));
    const undo: Partial<Order> = { mode: 'undo', undoes: applied.job!, job: uuidV7() };
    const nonce = Buffer.alloc(16, 7).toString('base64url');
    const admission = await trust.admit(order(given, { ...applied, ...undo, nonce }));
    expect(requireAdmitted(admission).sealedInputs).toEqual({ [DISK_KEY]: SECRET });
  });

  it('is opened no more once it was withdrawn, also when nobody mentions that again', async () => {
    const trust = await its.openTrust();
    const given = await give();
    const { envelope } = its.world.signRevoke({ grants: [given.credential.id] });
    await trust.replaceRevocations({ ids: [given.credential.id], documents: [] });
    expect(await refusalOf(order(given))).toMatch(`revoked: ${given.credential.id}`);
    await trust.replaceRevocations({ ids: [], documents: [envelope] });
    await trust.replaceRevocations({ ids: [], documents: [] });
    expect(await refusalOf(order(given))).toMatch(`revoked: ${given.credential.id}`);
  });

  it('is not opened when it was withdrawn while its order was used up', async () => {
    const trust = await its.openTrust();
    const given = await give();
    const burn = trust.ledger.burn.bind(trust.ledger);
    trust.ledger.burn = async (entry) => {
      await trust.replaceRevocations({ ids: [given.credential.id], documents: [] });
      return burn(entry);
    };
    expect(await refusalOf(order(given))).toMatch(`revoked: ${given.credential.id}`);
  });

  it('is opened no more once the key that signed it is revoked', async () => {
    const trust = await its.openTrust();
    const given = await give();
    const { fingerprint } = its.world.account.signing;
    await trust.replaceRevocations({ ids: [fingerprint], documents: [] });
    expect(await refusalOf(order(given))).toMatch('revoked');
  });

  it('is not opened by another agent that it was not sealed to', async () => {
    const given = await give();
    const { generateX25519Identity } = await import('age-encryption');
    await its.openTrust({ ageIdentity: await generateX25519Identity() });
    expect(await refusalOf(order(given))).toMatch('sealed_input_unreadable');
  });
});
