import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentWorld } from '../test/fixtures/agent-world.ts';
import { lock, unlock } from './trust/lock.ts';

const soon = { timeout: 30_000 };

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

  it.each(['/nowhere/bwrap', '/bin/false'])('where %s is no sandbox', async (program) => {
    it_.bwrapPath = program;
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
