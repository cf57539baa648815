import { existsSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { uuidV7 } from '../test/fixtures/trust-world.ts';
import { killRunners } from './commands/lock.ts';
import { AgentWorld } from '../test/fixtures/agent-world.ts';
import { lock } from './trust/lock.ts';

const soon = { timeout: 30_000 };

let it_: AgentWorld;
beforeEach(async () => {
  it_ = await AgentWorld.create();
});
afterEach(() => it_.remove());

const marker = () => it_.file('marker');
const touch = (seconds = 0) => ['sh', '-c', `echo started >> ${marker()}; sleep ${seconds}`];
const starts = () => (existsSync(marker()) ? readFileSync(marker(), 'utf8') : '');

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

  it('goes on when a lead sends its engineer away and does not say stop', async () => {
    const session = await it_.start();
    const { world } = it_;
    const running = it_.command(touch(3));
    session.send({ job: running });
    await expect.poll(starts, soon).toBe('started\n');
    const keys = [world.engineers[0].fingerprint];
    const signed = world.signRevoke({ keys, afterStep: true }, [world.lead.signer]);
    session.send({
      revocations: {
        ids: keys,
        documents: [Buffer.from(signed.envelope)],
        certifications: world.certifications,
      },
    });
    const next = it_.command(touch());
    session.send({ job: next });
    expect(await it_.accepted(session, next.jobId)).toMatchObject({
      statement: 'refused',
      reason: 'revoked',
    });
    const { receipt } = await it_.ended(session, running.jobId);
    expect(receipt.outcome).toBe('succeeded');
    expect(starts()).toBe('started\n');
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
