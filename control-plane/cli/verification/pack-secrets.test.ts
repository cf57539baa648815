import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { packed, papers } from '../../../test/fixtures/pack-papers.ts';
import type { PaperChanges, Papers } from '../../../test/fixtures/pack-papers.ts';
import { createWorldKey } from '../../../test/fixtures/trust-world.ts';
import type { Credential } from '../../../proto/documents/kinds/credential.ts';
import { doubtOf } from './made-by-agent.ts';
import { verifyPack } from './verify-pack.ts';

const pinsOf = ({ world }: Papers) => ({
  root: world.root.digest,
  accountKeys: world.account.digest,
});
const checksOf = (made: Papers) => verifyPack(made.pack, pinsOf(made), []).checks;
const findings = (made: Papers) =>
  checksOf(made)
    .filter(({ verdict }) => verdict === 'fails')
    .map(({ subject, detail }) => `${subject}: ${detail}`);

const given =
  (
    changes: Partial<Credential> = {},
    by?: 'engineer' | 'nobody',
  ): NonNullable<PaperChanges['given']> =>
  (world, grant) => {
    const signers = {
      engineer: [world.engineers[0].signer],
      nobody: [createWorldKey().signer],
    };
    return world.signCredential(
      { grant: grant.digest, ...changes },
      by === undefined ? undefined : signers[by],
    );
  };

describe('a secret that the client gave', () => {
  it('holds where they signed it for what it was used for', async () => {
    const made = await papers({ given: given() });
    expect(findings(made)).toEqual([]);
    expect(checksOf(made)).toContainEqual(
      expect.objectContaining({ subject: 'secret stdin of 1042/1', verdict: 'holds' }),
    );
  });

  it.each<[string, Partial<Credential>]>([
    ['grant', { grant: `sha256:${'1'.repeat(64)}` }],
    ['server', { server: randomUUID() }],
    ['agentKey', { agentKey: createWorldKey().fingerprint }],
    ['account', { account: randomUUID() }],
    ['action', { action: 'terminal.open' }],
    ['input', { input: 'password' }],
  ])('fails where it was given for another %s', async (name, changes) => {
    const made = await papers({ given: given(changes) });
    expect(findings(made)).toEqual([
      expect.stringContaining(`secret stdin of 1042/1: it was given for another ${name}`),
    ]);
  });

  it.each(['engineer', 'nobody'] as const)('fails where %s signed it', async (by) => {
    expect(findings(await papers({ given: given({}, by) }))).toEqual([
      expect.stringContaining('secret stdin of 1042/1'),
    ]);
  });

  it('fails where it is left out, or another stands in its place', async () => {
    const made = await papers({ given: given() });
    const other = given({ id: randomUUID() })(made.world, made.grant);
    Object.assign(made.pack.secrets[0]!, { envelope: packed(other.envelope) });
    expect(findings(made)[0]).toContain('came in the place of');
    made.pack.secrets = [];
    expect(findings(made)[0]).toContain('is not in the pack');
  });

  it('fails where it was used after the client had withdrawn it', async () => {
    const id = randomUUID();
    const made = await papers({ given: given({ id }) });
    const revoke = (issuedAt: number) =>
      packed(made.world.signRevoke({ grants: [id], issuedAt }).envelope);
    made.pack.revocations = [revoke(made.world.now + 3600)];
    expect(findings(made)).toEqual([]);
    made.pack.revocations = [revoke(made.world.now - 600)];
    expect(findings(made)[0]).toContain('after it was withdrawn');
  });
});

const one = `sha256:${'a'.repeat(64)}`;
const two = `sha256:${'b'.repeat(64)}`;

describe('a secret that a job made', () => {
  it('holds where the agent signed for it, and the pack tells whether it was opened', async () => {
    const made = await papers({ sealedOutputs: [one, two] });
    Object.assign(made.pack.secrets[1]!, { openedAt: '2026-11-25T03:30:00.000Z' });
    expect(findings(made)).toEqual([]);
    const details = checksOf(made)
      .filter(({ subject }) => subject.startsWith('secret "password"'))
      .map(({ detail }) => detail);
    expect(details).toEqual([
      expect.stringContaining('not opened'),
      expect.stringContaining('opened 2026-11-25T03:30:00.000Z'),
    ]);
  });

  it('fails where the pack leaves it out, or tells of one that the agent did not sign for', async () => {
    const made = await papers({ sealedOutputs: [one] });
    Object.assign(made.pack.secrets[0]!, { digest: two });
    expect(findings(made)).toEqual([
      expect.stringContaining(`the agent signed for ${one}, which the pack leaves out`),
      expect.stringContaining(`the agent did not sign for ${two}`),
    ]);
  });

  it("is proved by the receipt of its job, and by nobody else's", async () => {
    const made = await papers({ sealedOutputs: [one] });
    const jobId = made.order.payload.job;
    expect(doubtOf(made.pack, pinsOf(made), { jobId, digest: one })).toBe(null);
    expect(doubtOf(made.pack, pinsOf(made), { jobId, digest: two })).toContain('not among those');
    const elsewhere = { jobId: randomUUID(), digest: one };
    expect(doubtOf(made.pack, pinsOf(made), elsewhere)).toContain('not among its papers');
    const stranger = await papers({ sealedOutputs: [one], agent: [createWorldKey().signer] });
    const its = { jobId: stranger.order.payload.job, digest: one };
    expect(doubtOf(stranger.pack, pinsOf(stranger), its)).toContain('receipt of 1042/1');
    expect(doubtOf(stranger.pack, pinsOf(made), its)).toContain('operator root');
  });
});
