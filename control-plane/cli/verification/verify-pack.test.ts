import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { authorizationName } from '../../../proto/documents/authorization-name.ts';
import { addSignature, signDocument } from '../../../proto/documents/document.ts';
import { PACKED_LOG, packed, papers } from '../../../test/fixtures/pack-papers.ts';
import type { PaperChanges, Papers } from '../../../test/fixtures/pack-papers.ts';
import { createTrustWorld, createWorldKey } from '../../../test/fixtures/trust-world.ts';
import type { PackBody } from '../api/bodies.ts';
import type { Check } from './check-list.ts';
import { verifyPack } from './verify-pack.ts';

function findings({ world, pack }: Papers, logs: Parameters<typeof verifyPack>[2] = []): string[] {
  const pins = { root: world.root.digest, accountKeys: world.account.digest };
  return verifyPack(pack, pins, logs)
    .checks.filter(({ verdict }) => verdict === 'fails')
    .map(({ subject, detail }) => `${subject}: ${detail}`);
}

/** What fails when the papers are made with these changes. */
async function after(changes: PaperChanges): Promise<string> {
  return findings(await papers(changes)).join('\n');
}

/** What fails when the finished pack is altered. */
async function altered(alter: (pack: PackBody, made: Papers) => void): Promise<string> {
  const made = await papers();
  alter(made.pack, made);
  return findings(made).join('\n');
}

/** What a control plane can always do: nobody signs entries. */
function appendEntry({ chain, intervention }: PackBody, kind: string): void {
  const previous = chain.at(-1)?.hash ?? '';
  const sequence = chain.length + 1;
  const place = { previous, sequence, at: '', chain: `intervention:${intervention.id}` };
  const entry = JSON.stringify({ ...place, kind, content: {} });
  chain.push({ sequence, entry, previous, hash: createHash('sha256').update(entry).digest('hex') });
}

const job = (pack: PackBody) => pack.jobs[0] ?? expect.fail('no job');

describe('a pack', () => {
  it('holds when everything is as it was signed, with its logs', async () => {
    const made = await papers();
    expect(findings(made, [{ name: 'a.log', digest: PACKED_LOG }])).toEqual([]);
    expect(findings(made, [{ name: 'b.log', digest: `sha256:${'2'.repeat(64)}` }])[0]).toContain(
      'b.log',
    );
  });

  it('is for the ticket that the client signed for, and tells of a server that was named otherwise', async () => {
    const ticket = await altered((pack) => void (pack.intervention.ticket = 'T-other'));
    expect(ticket).toContain('is for another ticket than the pack says: "T-other"');
    const { world, pack } = await papers();
    pack.intervention.serverName = 'other';
    const pins = { root: world.root.digest, accountKeys: world.account.digest };
    expect(verifyPack(pack, pins, [])).toMatchObject({
      hasFailed: false,
      checks: expect.arrayContaining([
        expect.objectContaining({ verdict: 'note', detail: 'the pack calls that server "other"' }),
      ]) as Check[],
    });
  });

  it('holds for the pinned root and keys alone', async () => {
    const made = await papers();
    const other = await createTrustWorld();
    const pins = { root: other.root.digest, accountKeys: other.account.digest };
    const failed = verifyPack(made.pack, pins, []).checks.filter(
      ({ verdict }) => verdict === 'fails',
    );
    expect(failed.map(({ subject }) => subject)).toEqual(
      expect.arrayContaining(['operator root', 'account keys', 'authorization', 'order of 1042/1']),
    );
  });

  it('tells of a refusal without blaming it for the missing authorization', async () => {
    const made = await papers({ order: { authorization: null } });
    const { pack, world, order } = made;
    const refused = signDocument(
      'receipt',
      {
        statement: 'refused',
        job: order.payload.job,
        server: world.server.id,
        agentKey: world.agent.fingerprint,
        order: order.digest,
        policy: null,
        at: world.now,
        auditHead: null,
        reason: 'grant_missing',
        detail: '',
      },
      [world.agent.signer],
    );
    Object.assign(job(pack), { state: 'refused', logDigest: null });
    Object.assign(job(pack).documents, { accepted: null, final: packed(refused) });
    expect(findings(made).join()).toMatch(
      /^audit chain: no entry tells of the receipt of 1042\/1, final$/,
    );
  });

  it('tells of what was taken back, and holds when it was obeyed', async () => {
    const made = await papers();
    const { world, pack, grant } = made;
    pack.revocations = [
      packed(world.signRevoke({ grants: [grant.payload.id], issuedAt: world.now + 60 }).envelope),
    ];
    expect(findings(made)).toEqual([]);
    const pins = { root: world.root.digest, accountKeys: world.account.digest };
    const told = verifyPack(pack, pins, []).checks.find(({ subject }) => subject === 'revocation');
    expect(told?.detail).toContain(`${authorizationName(grant.payload)}: taken back 20`);
    pack.revocations = [
      packed(world.signRevoke({ grants: [grant.payload.id], issuedAt: world.now - 600 }).envelope),
    ];
    expect(findings(made).join()).toContain('after what it rests on was taken back');
  });
});

describe('a pack whose end was cut off', () => {
  it.each([3, 4])(
    'says how far an agent signed it, also when %i entries are left and a closing is added',
    async (left) => {
      const { pack, world } = await papers();
      const [first] = pack.jobs;
      // The control plane withholds what it cut off, so that nothing in the pack contradicts it.
      if (left < 4) Object.assign(first ?? {}, { state: 'accepted', logDigest: null });
      if (left < 4) Object.assign(first?.documents ?? {}, { final: null });
      pack.chain.splice(left);
      appendEntry(pack, 'intervention.closed');
      const pins = { root: world.root.digest, accountKeys: world.account.digest };
      const { checks, hasFailed, signedEntries } = verifyPack(pack, pins, []);
      expect([hasFailed, signedEntries]).toEqual([false, 2]);
      const notes = checks.filter(({ verdict }) => verdict === 'note').map(({ detail }) => detail);
      expect(notes.join()).toContain(
        `at entry 2 of ${pack.chain.length}: what came after, or was cut off at the end, only`,
      );
    },
  );

  it('says when no receipt names an entry of it', async () => {
    const { pack, world } = await papers({ receipts: { auditHead: null } });
    const pins = { root: world.root.digest, accountKeys: world.account.digest };
    const { checks, signedEntries } = verifyPack(pack, pins, []);
    expect(signedEntries).toBe(0);
    expect(checks.map(({ detail }) => detail).join()).toContain('no receipt names an entry');
  });

  it('does not hold when nothing is left of it', async () => {
    expect(await altered((pack) => Object.assign(pack, { jobs: [], chain: [] }))).toContain(
      'does not begin with the opening',
    );
  });

  it.each(['1042/1\u001b[31m', '1041/1', '1042/0', '1042/01', '', '1042/1/1'])(
    'does not hold with a job called %j',
    async (name) => {
      expect(await altered((pack) => Object.assign(job(pack), { name }))).toContain('is called');
    },
  );
});

describe('a pack does not hold', () => {
  it.each<[string, PaperChanges, RegExp]>([
    [
      'the grant is of another server',
      { grant: { servers: [{ id: '05e00000-0000-4000-8000-00000000ffff', name: 'x' }] } },
      /not for this server/,
    ],
    [
      'the grant allows another action',
      { grant: { actions: [{ pattern: 'command.run' }] } },
      /does not allow filesystem.check/,
    ],
    [
      'the grant allows other parameters',
      { grant: { actions: [{ pattern: '*', parameters: { device: ['/dev/vdc'] } }] } },
      /does not allow these parameters/,
    ],
    [
      'the grant names other engineers',
      { grant: { engineers: [`SHA256:${'A'.repeat(43)}`] } },
      /does not name the engineer/,
    ],
    [
      'class C needed more engineers',
      {
        grant: { engineersForClassC: 2 },
        order: { action: 'command.run', parameters: { argv: ['id'] } },
      },
      /2 engineers had to sign/,
    ],
    [
      'the grant had run out',
      { grant: { notBefore: 1_600_000_000, expiresAt: 1_600_003_600 } },
      /did not hold when the job was accepted/,
    ],
    ['the order named no grant', { order: { authorization: null } }, /started without any/],
    [
      'the order was for another server',
      { order: { server: '05e00000-0000-4000-8000-00000000ffff' } },
      /for another server/,
    ],
    [
      'the job was accepted too late',
      { receipts: { at: Math.floor(Date.now() / 1000) + 3600 } },
      /after the order had run out/,
    ],
    ['a stranger signed the grant', { grantSigner: [createWorldKey().signer] }, /no trusted key/],
    [
      'a stranger signed the order',
      { orderSigner: [createWorldKey().signer] },
      /order of 1042\/1: no trusted key/,
    ],
    [
      'a stranger signed the receipts',
      { agent: [createWorldKey().signer] },
      /receipt of 1042\/1, accepted: no trusted key/,
    ],
    [
      'an agent saw a head that is gone',
      { receipts: { auditHead: 'a'.repeat(64) } },
      /first break at entry 5.*is missing/,
    ],
  ])('when %s', async (_, changes, finding) => {
    expect(await after(changes)).toMatch(finding);
  });

  it('when the recovery key signed the grant', async () => {
    const made = await papers();
    const forged = made.world.signGrant({}, [made.world.account.recovery.signer]);
    made.pack.grants = [packed(forged.envelope)];
    expect(findings(made).join()).toContain('authorization');
  });

  it('when the certification had run out before the order was signed', async () => {
    const made = await papers();
    const late = made.world.certify('engineer', made.world.lead.signer, {
      notBefore: 1_600_000_000,
      expiresAt: 1_600_003_600,
    });
    const order = made.world.signOrder({ authorization: made.grant.digest }, [late.signer]);
    made.pack.certifications.push(packed(late.envelope));
    job(made.pack).documents.order = packed(order.envelope);
    job(made.pack).id = order.payload.job;
    expect(findings(made).join()).toContain('did not hold when the order was signed');
  });

  it.each<[string, (pack: PackBody, made: Papers) => void, RegExp]>([
    [
      'an entry of the chain was edited',
      ({ chain }) => Object.assign(chain[1] ?? {}, { entry: '{}' }),
      /first break at entry 2: the text does not have its hash/,
    ],
    [
      'an entry of the chain is missing',
      ({ chain }) => chain.splice(1, 1),
      /first break at entry 2/,
    ],
    [
      'the chain was cut at its end',
      ({ chain }) => chain.splice(1),
      /first break at entry 2: an entry that was seen/,
    ],
    [
      'a job was left out',
      (pack) => pack.jobs.splice(0),
      /entry 2 tells of job .*, which the pack leaves out/,
    ],
    [
      'the outcome was changed',
      (pack) => Object.assign(job(pack), { state: 'failed' }),
      /the pack says failed, the agent signed succeeded/,
    ],
    [
      'the stored log is another',
      (pack) => Object.assign(job(pack), { logDigest: `sha256:${'2'.repeat(64)}` }),
      /signed as sha256:1111/,
    ],
    [
      'the agent key was swapped',
      (pack) => Object.assign(job(pack), { agentKey: createWorldKey().key }),
      /not the one the order was signed for/,
    ],
    [
      'the agent key is none',
      (pack) => Object.assign(job(pack), { agentKey: {} }),
      /agent of 1042\/1/,
    ],
    ['the grant is missing', (pack) => pack.grants.splice(0), /does not hold or is missing/],
    ['the certifications are missing', (pack) => pack.certifications.splice(0), /order of 1042\/1/],
    [
      'receipts stand in each other’s place',
      (pack) => {
        const { documents } = job(pack);
        Object.assign(documents, { accepted: documents.final, final: documents.accepted });
      },
      /stands in its place/,
    ],
    [
      'a certification is something else',
      (pack) => pack.certifications.push(pack.grants[0] ?? ''),
      /1 documents are no certifications/,
    ],
    [
      'a revocation is forged',
      (pack, { world }) =>
        pack.revocations.push(
          packed(
            world.signRevoke({ keys: [world.agent.fingerprint] }, [createWorldKey().signer])
              .envelope,
          ),
        ),
      /revocation: no trusted key/,
    ],
  ])('when %s', async (_, alter, finding) => {
    expect(await altered(alter)).toMatch(finding);
  });

  it('when a plan is not the one that was signed', async () => {
    const made = await papers({
      order: { action: 'filesystem.repair', plan: `sha256:${'3'.repeat(64)}` },
    });
    expect(findings(made).join()).toContain('the plan is not in the pack');
    job(made.pack).documents.plan = packed(made.world.signPlan().envelope);
    expect(findings(made).join()).toMatch(/the plan is sha256:.*, but sha256:3333/);
  });

  it('says without a receipt that nothing proves it', async () => {
    const made = await papers();
    Object.assign(job(made.pack).documents, { accepted: null, final: null });
    const { checks } = verifyPack(
      made.pack,
      { root: made.world.root.digest, accountKeys: made.world.account.digest },
      [],
    );
    expect(checks.find(({ subject }) => subject === 'outcome of 1042/1')).toMatchObject({
      verdict: 'note',
    });
  });

  it('when one of two signatures does not hold', async () => {
    const made = await papers();
    const twice = addSignature(made.order.envelope, createWorldKey().signer);
    job(made.pack).documents.order = packed(twice);
    expect(findings(made).join()).toContain('no trusted key');
  });
});
