import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { receive } from '../test/fixtures/agent-trust.ts';
import { uuidV7 } from '../test/fixtures/trust-world.ts';
import { sealInput } from '../proto/documents/sealed-input.ts';
import { readStatus } from './status-file.ts';
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
