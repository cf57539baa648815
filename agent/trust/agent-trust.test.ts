import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { verdictOf } from '../../test/fixtures/agent-trust.ts';
import { classC, HOUR } from '../../test/fixtures/refusal-cases/refusal-kit.ts';
import { createWorldKey, uuidV7 } from '../../test/fixtures/trust-world.ts';
import { useOpenedTrust } from '../../test/fixtures/opened-trust.ts';
import { signDocument } from '../../proto/documents/document.ts';
import { sealInput } from '../../proto/documents/sealed-input.ts';
import { AgentTrust } from './agent-trust.ts';
import type { EndStatement } from './receipts.ts';
import { lock, unlock } from './lock.ts';
import { LedgerError } from './nonce-ledger.ts';
import { PinnedTrustError } from './pinned-trust.ts';
import { RevocationsError } from './revocations.ts';
import { acceptTime, TimeMarkError } from './trusted-clock.ts';

const its = useOpenedTrust();
const { opened, openTrust, admit, readReceipt } = its;

describe('an order', () => {
  it('is admitted once, however often and wherever it comes again', async () => {
    const trust = await openTrust();
    const delivery = its.kit.ordered();
    const admissions = await Promise.all(
      Array.from({ length: 8 }, async () => trust.admit(delivery)),
    );
    const reasons = admissions.map(verdictOf).toSorted((a, b) => a.localeCompare(b));
    expect(reasons).toEqual(['admitted', ...Array.from({ length: 7 }, () => 'nonce_used')]);
    await opened.pop()!.close();
    expect(verdictOf(await (await openTrust()).admit(delivery))).toBe('nonce_used');
  });

  it('is not admitted with the nonce or the job of another', async () => {
    const trust = await openTrust();
    const { order } = await admit(trust, its.kit.ordered());
    const { nonce, job } = order.order;
    expect(verdictOf(await trust.admit(its.kit.ordered({ nonce })))).toBe('nonce_used');
    expect(verdictOf(await trust.admit(its.kit.ordered({ job })))).toBe('nonce_used');
  });

  it('that was used up may be accepted by an agent that died before it could say so', async () => {
    const trust = await openTrust();
    const delivery = its.kit.ordered();
    await admit(trust, delivery);
    const again = await trust.admit(delivery);
    if (again.admitted || again.usedUp === null) throw new Error('it was not used up');
    const { order, receipt } = again.usedUp;
    expect(order.order.job).toBe(delivery.job);
    expect(readReceipt(receipt)).toMatchObject({ statement: 'accepted', job: delivery.job });

    const { job, nonce } = order.order;
    for (const changes of [{ job }, { nonce }]) {
      const other = await trust.admit(its.kit.ordered(changes));
      expect(other).toMatchObject({ admitted: false, reason: 'nonce_used', usedUp: null });
    }
    await lock(its.stateDirectory);
    expect(await trust.admit(delivery)).toMatchObject({ reason: 'locked', usedUp: null });
  });

  it('that was refused may come again', async () => {
    const trust = await openTrust();
    const delivery = its.kit.ordered();
    await lock(its.stateDirectory);
    expect(verdictOf(await trust.admit(delivery))).toBe('locked');
    await unlock(its.stateDirectory);
    expect(verdictOf(await trust.admit(delivery))).toBe('admitted');
  });

  it('is refused after the ledger was written when the agent has a reason of its own', async () => {
    const trust = await openTrust();
    const delivery = its.kit.ordered();
    const busy = { reason: 'busy_changing', detail: 'job x is changing this server' } as const;
    const admission = await trust.admit(delivery, (verified) => {
      expect(verified.order.job).toBe(delivery.job);
      return busy;
    });
    expect(admission).toMatchObject({ admitted: false, ...busy });
    expect(verdictOf(await trust.admit(delivery))).toBe('nonce_used');
  });

  it.each<[string, string, (trust: AgentTrust) => Promise<unknown>]>([
    ['locked', 'locked', async () => lock(its.stateDirectory)],
    [
      'revoked',
      'revoked',
      async (trust) =>
        trust.replaceRevocations({ ids: [its.world.engineers[0].fingerprint], documents: [] }),
    ],
  ])(
    'is refused when the server is %s while its secrets are opened',
    async (_what, reason, act) => {
      const trust = await openTrust();
      const job = uuidV7();
      const stdin = await sealInput(its.world.agent.ageRecipient, job, 'stdin', 'x'.repeat(5000));
      const admission = trust.admit(its.kit.ordered({ ...classC, job, sealedInputs: { stdin } }));
      await act(trust);
      expect(verdictOf(await admission)).toBe(reason);
    },
  );

  it('is admitted when something else was revoked meanwhile', async () => {
    const trust = await openTrust();
    const job = uuidV7();
    const stdin = await sealInput(its.world.agent.ageRecipient, job, 'stdin', 'a');
    const admission = trust.admit(its.kit.ordered({ ...classC, job, sealedInputs: { stdin } }));
    await trust.replaceRevocations({ ids: [uuidV7()], documents: [] });
    expect(verdictOf(await admission)).toBe('admitted');
  });

  it('without a name of a job is refused without a receipt', async () => {
    const trust = await openTrust();
    const admission = await trust.admit({ ...its.kit.ordered(), job: '../../etc' });
    expect(admission).toMatchObject({
      admitted: false,
      reason: 'payload_malformed',
      receipt: null,
    });
  });

  it('that is no envelope is refused with a receipt that names none', async () => {
    const trust = await openTrust();
    await chmod(path.join(its.stateDirectory, 'policy.toml'), 0o666);
    const admission = await trust.admit({ ...its.kit.ordered(), order: Buffer.from('junk') });
    if (admission.admitted) throw new Error('it was admitted');
    expect(readReceipt(admission.receipt!)).toMatchObject({ order: null, policy: null });
  });

  it('is judged by a clock that local root has set', async () => {
    let wallMs = its.world.now * 1000;
    const source = { wallMs: () => wallMs, monotonicMs: () => 0 };
    const trust = await openTrust({ timeSource: source });
    wallMs += 30 * 24 * HOUR * 1000;
    const later = its.world.now + 30 * 24 * HOUR;
    const delivery = its.kit.ordered({ issuedAt: later, startBefore: later + 60 });
    expect(verdictOf(await trust.admit(delivery))).toBe('clock_jumped');
    await acceptTime(path.join(its.stateDirectory, 'trust', 'time-mark'), source);
    expect(verdictOf(await trust.admit(delivery))).toBe('certification_expired');
    expect(verdictOf(await trust.admit(its.kit.ordered()))).toBe('order_expired');
  });
});

describe('the end of a job', () => {
  const digest = `sha256:${'e'.repeat(64)}`;
  const end: EndStatement = {
    outcome: 'succeeded',
    reason: null,
    exitStatus: 0,
    plan: null,
    result: digest,
    log: { digest, bytes: 10, lines: 1, gaps: [] },
    changes: [],
    sealedOutputs: [],
  };

  it('is stated for the order and policy that were accepted', async () => {
    const trust = await openTrust();
    const { receipt } = await admit(trust, { ...its.kit.ordered(), auditHead: 'b'.repeat(64) });
    const accepted = readReceipt(receipt);
    const ended = readReceipt(trust.ended(receipt, end));
    const { job, order, policy, auditHead } = accepted;
    expect(ended).toMatchObject({ statement: 'ended', job, order, policy, auditHead, ...end });
    expect(ended.at).toBeGreaterThanOrEqual(accepted.at);
  });

  it('is not stated of a job that was refused', async () => {
    const trust = await openTrust();
    const admission = await trust.admit(its.kit.ordered({ actionVersion: 2 }));
    expect(admission.receipt).not.toBeNull();
    expect(() => trust.ended(admission.receipt!, end)).toThrow('a job that was refused');
  });

  it('is not stated on the strength of a receipt of somebody else', async () => {
    const trust = await openTrust();
    const stranger = createWorldKey();
    const { receipt } = await admit(trust, its.kit.ordered());
    const forged = signDocument('receipt', readReceipt(receipt), [stranger.signer]);
    expect(() => trust.ended(forged, end)).toThrow(/no trusted key/);
  });
});

describe('an agent', () => {
  it.each([
    ['pins.json', PinnedTrustError],
    ['time-mark', TimeMarkError],
    ['ledger', LedgerError],
    ['revocations.json', RevocationsError],
  ])('does not start with a damaged %s', async (name, error) => {
    await openTrust();
    await opened.pop()!.close();
    const file = path.join(its.stateDirectory, 'trust', name);
    await writeFile(file, 'junk\njunk\n');
    const open = AgentTrust.open({
      stateDirectory: its.stateDirectory,
      policyFile: path.join(its.stateDirectory, 'policy.toml'),
      self: { server: its.world.server.id, account: its.world.account.id, mode: 'resident' },
      signer: its.world.agent.signer,
      ageIdentity: its.world.agent.ageIdentity,
      facts: () => ({}),
      onTimeMarkError: () => undefined,
    });
    await expect(open).rejects.toThrow(error);
  });

  it('saves the time every minute, and goes on when it cannot', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const errors: unknown[] = [];
    let wallMs = its.world.now * 1000;
    const trust = await openTrust({
      timeSource: { wallMs: () => wallMs, monotonicMs: () => 0 },
      onTimeMarkError: (error) => errors.push(error),
    });
    const file = path.join(its.stateDirectory, 'trust', 'time-mark');
    wallMs += 60_000;
    vi.advanceTimersByTime(60_000);
    vi.useRealTimers();
    await vi.waitFor(
      async () => expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ mark: wallMs }),
      { timeout: 30_000 },
    );
    await opened.pop()!.close();

    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const again = await openTrust({ onTimeMarkError: (error) => errors.push(error) });
    await rm(file);
    await mkdir(file);
    vi.advanceTimersByTime(60_000);
    vi.useRealTimers();
    await vi.waitFor(() => expect(errors).toHaveLength(1), { timeout: 30_000 });
    expect(errors[0]).toBeInstanceOf(TimeMarkError);
    expect(again.clock.read().now).toBeGreaterThanOrEqual(trust.clock.read().now);
    await rm(file, { recursive: true });
  });

  it('begins in rescue no earlier than its image was built', async () => {
    const timeFloorMs = (its.world.now + 24 * HOUR) * 1000;
    const trust = await openTrust({ timeFloorMs });
    expect(trust.clock.nowMs()).toBeGreaterThanOrEqual(timeFloorMs);
  });

  it('knows after a restart what it was told to trust and what was revoked', async () => {
    const first = await openTrust();
    const delivery = its.kit.ordered();
    await first.replaceRevocations({ ids: [its.world.engineers[0].fingerprint], documents: [] });
    await opened.pop()!.close();
    expect(verdictOf(await (await openTrust()).admit(delivery))).toBe('revoked');
  });
});
