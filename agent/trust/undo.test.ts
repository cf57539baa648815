import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { OPEN_POLICY, receive, verdictOf } from '../../test/fixtures/agent-trust.ts';
import { signAccountKeys } from '../../test/fixtures/chains.ts';
import { HOUR, repair } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import { createWorldKey, uuidV7 } from '../../test/fixtures/trust-world.ts';
import { useOpenedTrust } from '../../test/fixtures/opened-trust.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';

const its = useOpenedTrust();
const { opened, openTrust, admit } = its;

describe('the undo of a job', () => {
  it('is admitted after its grant has ended and was revoked and its key replaced', async () => {
    const grant = its.world.signGrant({ expiresAt: its.world.now + 600 });
    const plan = its.world.signPlan();
    const apply = its.world.signOrder({
      ...repair,
      authorization: grant.digest,
      plan: plan.digest,
    });
    let wallMs = its.world.now * 1000;
    const timeSource = { wallMs: () => wallMs, monotonicMs: () => 0 };
    const first = await openTrust({ timeSource });
    expect(verdictOf(await first.admit(receive(its.world.deliver(apply, grant, plan))))).toBe(
      'admitted',
    );

    const keys = [createWorldKey().key, its.world.account.recovery.key];
    const replaced = signAccountKeys(
      its.world.account.id,
      keys,
      [its.world.account.recovery.signer],
      its.world.account.envelope,
      { version: 2 },
    );
    await first.acceptTrust({ rootChain: [], accountKeys: [replaced] });
    const ids = [grant.payload.id, its.world.account.signing.fingerprint];
    await first.replaceRevocations({ ids, documents: [] });
    await opened.pop()!.close();

    wallMs += 2 * HOUR * 1000;
    const issuedAt = its.world.now + 2 * HOUR;
    const undoOrder = (changes: Partial<Order> = {}) =>
      receive(
        its.world.deliver(
          its.world.signOrder({
            ...repair,
            authorization: grant.digest,
            mode: 'undo',
            undoes: apply.payload.job,
            job: uuidV7(),
            issuedAt,
            startBefore: issuedAt + 600,
            ...changes,
          }),
          grant,
        ),
      );
    const second = await openTrust({ timeSource });
    const { order } = await admit(second, undoOrder());
    expect(order).toMatchObject({ order: { undoes: apply.payload.job }, actionClass: 'C' });

    const again = undoOrder({ mode: 'apply', undoes: null, plan: plan.digest });
    expect(verdictOf(await second.admit({ ...again, plan: plan.envelope }))).toBe('signer_unknown');
  });

  it('is admitted on the attestation of the job, which whoever ordered it did not attest', async () => {
    const trust = await openTrust(its.kit.rescue());
    const third = its.world.certify('engineer', its.world.lead.signer);
    const certifications = [...its.world.certifications, third.envelope];
    const ordering = [its.world.engineers[0].signer, third.signer];
    const attestation = its.world.signAttestation();
    const plan = its.world.signPlan();
    const common = { ...repair, authorization: attestation.digest, expect: { serial: 'S1' } };
    const apply = its.world.signOrder({ ...common, plan: plan.digest }, ordering);
    const delivery = receive(its.world.deliver(apply, attestation, plan));
    expect(verdictOf(await trust.admit({ ...delivery, certifications }))).toBe('admitted');

    const undo = (signers: typeof ordering) => {
      const changes = { mode: 'undo', undoes: apply.payload.job, job: uuidV7() } as const;
      const order = its.world.signOrder({ ...common, ...changes }, signers);
      return { ...receive(its.world.deliver(order, attestation)), certifications };
    };
    const byAttester = [its.world.engineers[1].signer, third.signer];
    expect(verdictOf(await trust.admit(undo(byAttester)))).toBe('attestation_not_allowed');
    const [ana, ben] = its.world.engineers;
    const another = createWorldKey();
    const { person } = ben;
    const again = its.world.certify('engineer', its.world.lead.signer, {
      person,
      keys: [another.key],
    });
    const byOtherKey = undo([another.signer, third.signer]);
    const known = [...certifications, again.envelope];
    expect(verdictOf(await trust.admit({ ...byOtherKey, certifications: known }))).toBe(
      'attestation_not_allowed',
    );

    await trust.replaceRevocations({ ids: [ben.fingerprint], documents: [] });
    const withoutAttester = [its.world.lead, ana, third].map(({ envelope }) => envelope);
    const last = { ...undo(ordering), certifications: withoutAttester };
    expect(verdictOf(await trust.admit(last))).toBe('admitted');
  });

  it('is refused when the local policy has come to deny it', async () => {
    const trust = await openTrust();
    const delivery = await its.kit.undone(trust, {});
    const text = `${OPEN_POLICY}deny = ["filesystem.repair"]\n`;
    await writeFile(path.join(its.stateDirectory, 'policy.toml'), text);
    expect(verdictOf(await trust.admit(delivery))).toBe('policy_denied');
  });
});
