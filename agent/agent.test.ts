import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { receive } from '../test/fixtures/agent-trust.ts';
import { uuidV7 } from '../test/fixtures/trust-world.ts';
import { sealInput } from '../proto/documents/sealed-input.ts';
import { killRunners } from './commands/lock.ts';
import { readStatus } from './status-file.ts';
import { AgentWorld } from './testing/agent-world.ts';
import { lock, unlock } from './trust/lock.ts';

const soon = { timeout: 15_000 };

let it_: AgentWorld;
beforeEach(async () => {
  it_ = await AgentWorld.create();
});
afterEach(() => it_.remove());

const marker = () => it_.file('marker');
const touch = (seconds = 0) => ['sh', '-c', `echo started >> ${marker()}; sleep ${seconds}`];
const starts = () => (existsSync(marker()) ? readFileSync(marker(), 'utf8') : '');
const jobFolders = () => {
  const folder = path.join(it_.config.stateDirectory, 'jobs');
  return existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith('spare-')) : [];
};

describe('an authorized order', () => {
  it('is accepted, carried out, and its end stated with digests of everything', async () => {
    const session = await it_.start();
    const delivery = it_.command(['sh', '-c', 'echo hello; exit 3'], {});
    session.send({ job: { ...delivery, auditHead: 'ab'.repeat(32) } });
    const accepted = await it_.accepted(session, delivery.jobId);
    expect(accepted).toMatchObject({ statement: 'accepted', auditHead: 'ab'.repeat(32) });
    const { message, receipt, output } = await it_.ended(session, delivery.jobId);
    expect(output).toBe('hello\n');
    expect(receipt).toMatchObject({
      outcome: 'failed',
      reason: 'exit_status',
      exitStatus: 3,
      order: accepted.order,
      policy: accepted.policy,
      auditHead: 'ab'.repeat(32),
      result: `sha256:${createHash('sha256').update(message.result!).digest('hex')}`,
      log: {
        digest: `sha256:${createHash('sha256').update(it_.farEnd.log(delivery.jobId).committed).digest('hex')}`,
        bytes: message.logLength,
        lines: 1,
      },
    });
    const states = session.all('events').flatMap((events) => events.records!);
    expect(
      states.map((record) => (JSON.parse(record.toString()) as { type: string }).type),
    ).toEqual(expect.arrayContaining(['received', 'started', 'ended']));
  });

  it('gets its sealed inputs, and nobody else does', async () => {
    const session = await it_.start();
    const job = uuidV7();
    const sealed = await sealInput(it_.world.agent.ageRecipient, job, 'stdin', 'the secret\n');
    const delivery = it_.command(['sha256sum'], { job, sealedInputs: { stdin: sealed } });
    session.send({ job: delivery });
    const { output } = await it_.ended(session, job);
    expect(output.slice(0, 64)).toBe(createHash('sha256').update('the secret\n').digest('hex'));
    const spec = path.join(it_.config.stateDirectory, 'jobs', job, 'spec.json');
    expect(readFileSync(spec, 'utf8')).not.toContain('the secret');
  });

  it('is started once, however often it is delivered', async () => {
    const session = await it_.start();
    const delivery = it_.command(touch());
    session.send({ job: delivery });
    session.send({ job: delivery });
    await it_.ended(session, delivery.jobId);
    session.send({ job: delivery });
    await expect.poll(() => session.all('ended').length, soon).toBeGreaterThanOrEqual(2);
    expect(new Set(session.all('receipt').map((entry) => entry.receipt!.toString())).size).toBe(1);
    await it_.stop();
    const again = await it_.start();
    again.send({ job: delivery });
    await again.next('ended');
    expect(again.all('ended')[0]!.receipt).toEqual(session.all('ended')[0]!.receipt);
    expect(starts()).toBe('started\n');
  });

  it('is released when its end is committed, and still not started again', async () => {
    const session = await it_.start();
    const delivery = it_.command(touch());
    session.send({ job: delivery });
    await it_.ended(session, delivery.jobId);
    session.send({ acknowledged: { jobId: delivery.jobId, receipt: true, ended: true } });
    const spool = path.join(it_.config.stateDirectory, 'jobs', delivery.jobId, 'spool');
    await expect.poll(() => existsSync(spool), soon).toBe(false);
    session.send({ job: delivery });
    await expect.poll(() => session.all('receipt').length, soon).toBe(2);
    await it_.stop();
    const again = await it_.start();
    expect((await again.next('hello')).knownJobs).toEqual([]);
    again.send({ job: delivery });
    await again.next('receipt');
    await delay(100);
    expect(starts()).toBe('started\n');
  });
});

describe('an order is refused', () => {
  async function refusalOf(delivery: { jobId: string }, session = it_.start()): Promise<string> {
    const open = await session;
    open.send({ job: delivery });
    const receipt = await it_.accepted(open, delivery.jobId);
    return receipt.statement === 'refused' ? receipt.reason : receipt.statement;
  }

  it('without a grant, with a signed receipt, and starts nothing', async () => {
    const order = it_.world.signOrder({ action: 'command.run', parameters: { argv: touch() } });
    expect(await refusalOf(it_.world.deliver(order))).toBe('grant_missing');
    await delay(100);
    expect(starts()).toBe('');
    expect(jobFolders()).toEqual([]);
  });

  it('for good: delivered again it gets the same answer, also when it would now be accepted', async () => {
    writeFileSync(it_.config.policyFile, 'version = 1\n', { mode: 0o600 });
    const session = await it_.start();
    const delivery = it_.command(touch());
    expect(await refusalOf(delivery, Promise.resolve(session))).toBe('policy_denied');
    writeFileSync(
      it_.config.policyFile,
      'version = 1\nallow = ["*"]\nhighest-class = "C"\nallow-steps-without-undo = true\n',
    );
    await it_.stop();
    const again = await it_.start();
    expect(await refusalOf(delivery, Promise.resolve(again))).toBe('policy_denied');
    expect(again.all('receipt')[0]!.receipt).toEqual(session.all('receipt')[0]!.receipt);
    const fresh = it_.command(touch());
    again.send({ job: fresh });
    await it_.ended(again, fresh.jobId);
    expect(starts()).toBe('started\n');
  });

  it('without keeping the real order of that job from being judged', async () => {
    const session = await it_.start();
    const delivery = it_.command(touch());
    session.send({ job: { ...delivery, order: Buffer.from('rubbish') } });
    await session.next('receipt');
    session.send({ job: delivery });
    const { receipt } = await it_.ended(session, delivery.jobId);
    expect(receipt.outcome).toBe('succeeded');
  });

  it('while another job changes the server; looking is allowed beside it', async () => {
    const session = await it_.start();
    const first = it_.command(touch(30));
    session.send({ job: first });
    await expect.poll(starts, soon).toBe('started\n');
    expect(await refusalOf(it_.command(touch()), Promise.resolve(session))).toBe('busy_changing');
    const look = it_.world.deliverValid({ parameters: { device: '/dev/no-such-device' } });
    session.send({ job: look });
    const { receipt } = await it_.ended(session, look.jobId);
    expect(receipt.statement).toBe('ended');
    session.send({ cancel: { jobId: first.jobId, mode: 'now' } });
    const { receipt: end } = await it_.ended(session, first.jobId);
    expect(end).toMatchObject({ outcome: 'cancelled', reason: 'requested' });
    const next = it_.command(touch());
    session.send({ job: next });
    expect((await it_.ended(session, next.jobId)).receipt.outcome).toBe('succeeded');
  });

  it('when two that change something come at the same moment, for one of them', async () => {
    const session = await it_.start();
    const deliveries = [it_.command(touch(1)), it_.command(touch(1))];
    for (const delivery of deliveries) session.send({ job: delivery });
    const receipts = await Promise.all(
      deliveries.map((delivery) => it_.accepted(session, delivery.jobId)),
    );
    expect(receipts.map((receipt) => receipt.statement).toSorted()).toEqual([
      'accepted',
      'refused',
    ]);
    expect(receipts.find((receipt) => receipt.statement === 'refused')).toMatchObject({
      reason: 'busy_changing',
    });
  });

  it('where bubblewrap is missing', async () => {
    it_.bwrapPath = '/nowhere/bwrap';
    expect(await refusalOf(it_.command(touch()))).toBe('sandbox_unavailable');
    expect(starts()).toBe('');
  });

  it('while the server is locked, and accepted after it is unlocked', async () => {
    await lock(it_.config.stateDirectory);
    const session = await it_.start();
    expect((await session.next('hello')).locked).toBe(true);
    expect(await refusalOf(it_.command(touch()), Promise.resolve(session))).toBe('locked');
    await unlock(it_.config.stateDirectory);
    const open = await it_.farEnd.session(1);
    expect((await open.next('hello')).locked).toBe(false);
    const delivery = it_.command(touch());
    open.send({ job: delivery });
    expect((await it_.ended(open, delivery.jobId)).receipt.outcome).toBe('succeeded');
  });

  it('when it has no proper name: nothing is said and nothing is written', async () => {
    const session = await it_.start();
    session.send({ job: { ...it_.command(touch()), jobId: '../../etc/passwd' } });
    session.send({ cancel: { jobId: '../..', mode: 'now' } });
    session.send({ acknowledged: { jobId: '../../etc', receipt: true, ended: true } });
    const delivery = it_.command(['true']);
    session.send({ job: delivery });
    await it_.ended(session, delivery.jobId);
    expect(session.all('receipt')).toHaveLength(1);
    expect(starts()).toBe('');
  });
});

describe('a running job', () => {
  it('survives the agent, which finds it again and reports the rest', async () => {
    const session = await it_.start();
    const delivery = it_.command(['sh', '-c', 'echo one; sleep 1.5; echo two']);
    session.send({ job: delivery });
    await expect.poll(() => it_.farEnd.log(delivery.jobId).lines, soon).toBe(1);
    await it_.stop();
    it_.positions = [
      {
        jobId: delivery.jobId,
        known: true,
        nextSequence: 2,
        logOffset: it_.farEnd.log(delivery.jobId).committed.length,
      },
    ];
    const again = await it_.start();
    expect((await again.next('hello')).knownJobs).toEqual([delivery.jobId]);
    const { receipt, output } = await it_.ended(again, delivery.jobId);
    expect(receipt.outcome).toBe('succeeded');
    expect(output).toBe('one\ntwo\n');
    expect(it_.farEnd.log(delivery.jobId).faults).toEqual([]);
  });

  it.each(['grants', 'keys'] as const)(
    'is stopped within 5 s when its %s are revoked',
    async (kind) => {
      const session = await it_.start();
      const grant = it_.world.signGrant();
      const order = it_.world.signOrder({
        action: 'command.run',
        authorization: grant.digest,
        parameters: { argv: touch(60) },
      });
      const delivery = it_.world.deliver(order, grant);
      session.send({ job: delivery });
      await expect.poll(starts, soon).toBe('started\n');
      const revoked = kind === 'grants' ? grant.payload.id : it_.world.engineers[0].fingerprint;
      const startedAt = performance.now();
      session.send({ revocations: { ids: [revoked], documents: [] } });
      const { receipt } = await it_.ended(session, delivery.jobId);
      expect(receipt).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
      expect(performance.now() - startedAt).toBeLessThan(5_000);
    },
  );

  it('is stopped by a cancel that comes while its order is judged', async () => {
    const session = await it_.start();
    const delivery = it_.command(touch(60));
    session.send({ job: delivery });
    session.send({ cancel: { jobId: delivery.jobId, mode: 'now' } });
    const { receipt } = await it_.ended(session, delivery.jobId);
    expect(receipt).toMatchObject({ outcome: 'cancelled', reason: 'requested' });
    session.send({ acknowledged: { jobId: delivery.jobId, receipt: true, ended: true } });
    const next = it_.command(['true']);
    session.send({ job: next });
    expect((await it_.ended(session, next.jobId)).receipt.outcome).toBe('succeeded');
  });

  it('is refused or stopped when a revocation comes while its order is judged', async () => {
    const session = await it_.start();
    const delivery = it_.command(touch(60));
    session.send({ job: delivery });
    const revoked = it_.world.engineers[0].fingerprint;
    session.send({ revocations: { ids: [revoked], documents: [] } });
    const said = await it_.accepted(session, delivery.jobId);
    if (said.statement === 'refused') {
      expect(said.reason).toBe('revoked');
      expect(starts()).toBe('');
    } else {
      const { receipt } = await it_.ended(session, delivery.jobId);
      expect(receipt).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
    }
  });

  it('reaches its end when a signed revocation says so, and nothing new starts', async () => {
    const session = await it_.start();
    const grant = it_.world.signGrant();
    const order = (argv: string[]) =>
      it_.world.signOrder({
        job: uuidV7(),
        action: 'command.run',
        authorization: grant.digest,
        parameters: { argv },
      });
    const first = it_.world.deliver(order(touch(1)), grant);
    session.send({ job: first });
    await expect.poll(starts, soon).toBe('started\n');
    const revoke = it_.world.signRevoke({ grants: [grant.payload.id], afterStep: true });
    session.send({
      revocations: { ids: [grant.payload.id], documents: [Buffer.from(revoke.envelope)] },
    });
    expect((await it_.ended(session, first.jobId)).receipt.outcome).toBe('succeeded');
    const second = it_.world.deliver(order(touch()), grant);
    session.send({ job: second });
    const receipt = await it_.accepted(session, second.jobId);
    expect(receipt).toMatchObject({ statement: 'refused', reason: 'revoked' });
  });

  it('goes on when its grant ends', async () => {
    const session = await it_.start();
    const now = Math.floor(Date.now() / 1000);
    const grant = it_.world.signGrant({ notBefore: now - 60, expiresAt: now + 2 });
    const order = it_.world.signOrder({
      action: 'command.run',
      authorization: grant.digest,
      parameters: { argv: touch(7) },
    });
    const delivery = it_.world.deliver(order, grant);
    session.send({ job: delivery });
    const { receipt } = await it_.ended(session, delivery.jobId);
    expect(receipt.outcome).toBe('succeeded');
    const events = session.all('events').flatMap((message) => message.records!);
    const stop = events.map(
      (record) => JSON.parse(record.toString()) as { type: string; why?: string },
    );
    expect(stop.find((record) => record.type === 'stop_requested')?.why).toBe('grant_expired');
  });

  it('is killed by a lock within a second, and reported as interrupted', async () => {
    const session = await it_.start();
    const delivery = it_.command(['sh', '-c', `echo started > ${marker()}; setsid sleep 300`]);
    session.send({ job: delivery });
    await expect.poll(starts, soon).toBe('started\n');
    const startedAt = performance.now();
    await lock(it_.config.stateDirectory);
    // The agent notices by itself, too; whoever is first kills.
    const { remaining } = await killRunners(it_.config.stateDirectory);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(remaining).toEqual([]);
    const hello = await (await it_.farEnd.session(1)).next('hello');
    expect(hello).toMatchObject({ locked: true });
    const { receipt } = await it_.ended(await it_.farEnd.session(1), delivery.jobId);
    expect(receipt.outcome).toBe('interrupted');
  });

  it('is stopped by a lock without the command, too', async () => {
    const session = await it_.start();
    const delivery = it_.command(touch(300));
    session.send({ job: delivery });
    await expect.poll(starts, soon).toBe('started\n');
    await lock(it_.config.stateDirectory);
    const { receipt } = await it_.ended(await it_.farEnd.session(1), delivery.jobId);
    expect(receipt).toMatchObject({ outcome: 'interrupted', reason: 'locked' });
  });
});

describe('an order that was used up and never started', () => {
  it('is reported as interrupted after a crash in between', async () => {
    const session = await it_.start();
    const delivery = it_.command(touch());
    session.send({ job: delivery });
    await it_.ended(session, delivery.jobId);
    await it_.stop();
    // As if the agent had died after the ledger was written, before the job's folder was made.
    const { rm } = await import('node:fs/promises');
    const state = it_.config.stateDirectory;
    await rm(path.join(state, 'jobs', delivery.jobId), { recursive: true });
    await rm(path.join(state, 'trust/statements', `${delivery.jobId}.ended`));
    const again = await it_.start();
    const { receipt } = await it_.ended(again, delivery.jobId);
    expect(receipt).toMatchObject({
      outcome: 'interrupted',
      reason: 'not_started',
      exitStatus: null,
      log: { bytes: 0, lines: 0 },
    });
    expect(starts()).toBe('started\n');
  });

  it('is accepted and reported as interrupted when the crash came before the acceptance', async () => {
    const delivery = it_.command(touch());
    await it_.start();
    await it_.stop();
    const trust = await it_.openTrust();
    const { admitted } = await trust.admit(receive(delivery));
    await trust.close();
    expect(admitted).toBe(true);
    const session = await it_.start();
    session.send({ job: delivery });
    expect(await it_.accepted(session, delivery.jobId)).toMatchObject({ statement: 'accepted' });
    const { receipt } = await it_.ended(session, delivery.jobId);
    expect(receipt).toMatchObject({ outcome: 'interrupted', reason: 'not_started' });
    expect(starts()).toBe('');
  });
});

describe('the agent', () => {
  it('takes newer trust over, and refuses what does not follow', async () => {
    const session = await it_.start();
    session.send({ trust: { rootChain: [Buffer.from('rubbish')], accountKeys: [] } });
    const delivery = it_.command(['true']);
    session.send({ job: delivery });
    await it_.ended(session, delivery.jobId);
    expect(readdirSync(path.join(it_.config.stateDirectory, 'trust/root'))).toEqual(['0001.json']);
  });

  it('writes down how it is doing', async () => {
    const session = await it_.start();
    const delivery = it_.command(touch(300));
    session.send({ job: delivery });
    await expect.poll(starts, soon).toBe('started\n');
    await expect
      .poll(() => readStatus(it_.config.stateDirectory), soon)
      .toMatchObject({
        pid: process.pid,
        connection: 'connected',
        address: it_.farEnd.address,
        locked: false,
        jobs: [{ id: delivery.jobId, action: 'command.run', mode: 'apply', state: 'running' }],
      });
    await it_.stop();
    expect(readStatus(it_.config.stateDirectory)?.connection).toBe('stopped');
  });

  it('keeps a runner warm while a grant is open, and lets it go when it is locked', async () => {
    const session = await it_.start();
    const first = it_.command(['true']);
    session.send({ job: first });
    await it_.ended(session, first.jobId);
    const folder = path.join(it_.config.stateDirectory, 'jobs');
    const spares = () => readdirSync(folder).filter((name) => name.startsWith('spare-'));
    await expect.poll(() => spares().length, soon).toBe(1);
    session.send({ revocations: { ids: [], documents: [] } });
    await lock(it_.config.stateDirectory);
    await expect.poll(() => spares().length, soon).toBe(0);
  });
});
