import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { createTrustWorld } from '../test/fixtures/trust-world.ts';
import { digestOf, openDocument } from '../proto/documents/document.ts';
import { stateEnd } from './end-statement.ts';
import type { EndedRecord, JournalRecord } from './jobs/journal-record.ts';
import { createLostJob } from './lost-job.ts';
import { Receipts } from './trust/receipts.ts';

const digest = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/** States the end of an accepted job with these records. */
async function state(records: JournalRecord[], change: Partial<EndedRecord['log']> = {}) {
  const world = await createTrustWorld();
  const { signer, key } = world.agent;
  const receipts = new Receipts(world.server.id, signer);
  const delivery = world.deliverValid({});
  const accepted = receipts.accepted({
    job: delivery.jobId,
    order: digestOf(delivery.order),
    policy: null,
    auditHead: null,
    at: 1_800_000_000,
  });
  const lost = createLostJob(delivery.jobId, 1);
  const log = { ...lost.ended!.log, ...change };
  const job = { ...lost, ended: { ...lost.ended!, log }, records: () => records };
  const end = await stateEnd(job, {
    permission: {
      action: 'filesystem.repair',
      mode: 'apply',
      isChanging: true,
      plan: null,
      grant: null,
      grantExpiresAt: 1_800_000_000,
      keys: [],
    },
    signer,
    sign: (content) => receipts.ended(accepted, 1_800_000_001, content),
  });
  const { payload } = openDocument('receipt', end.receipt, [key]);
  if (payload.statement !== 'ended') throw new Error('not the end');
  return { ...end, payload };
}

it('a job that saved more than a document can name has a receipt all the same', async () => {
  const saved: JournalRecord[] = Array.from({ length: 80 }, (_, step) => ({
    type: 'step_saved',
    at: 1,
    step: `step-${step}-${'x'.repeat(80)}`,
    backups: Array.from({ length: 80 }, (__, part) => ({
      path: 'backup',
      bytes: 1,
      digest: digest(`${step} ${part}`),
    })),
  }));
  const gap = { offset: 2 ** 52, missingBytes: 2 ** 52, missingLines: 2 ** 52 };
  const { payload } = await state(saved, { gaps: Array.from({ length: 80 }, () => gap) });
  expect(payload.changes).toHaveLength(64);
  expect(payload.changes[0]?.backups[0]).toBe(digest('0 0'));
});

const sealed = (name: string, content: string): JournalRecord => ({
  type: 'secret_sealed',
  at: 1,
  name,
  sealed: Buffer.from(content).toString('base64'),
});

it('the receipt names every secret that the job handed out', async () => {
  const end = await state([sealed('password', 'one'), sealed('key', 'two')]);
  expect(end.payload.sealedOutputs).toEqual([digest('one'), digest('two')]);
  expect(end.sealedOutputs).toEqual([
    { name: 'password', sealed: Buffer.from('one') },
    { name: 'key', sealed: Buffer.from('two') },
  ]);
});

it('of secrets that no runner wrote, an end holds no more than it can be sent with', async () => {
  const many = Array.from({ length: 20 }, (_, at) => sealed(`key-${at}`, 'x'));
  const end = await state([sealed('No name', 'a'), sealed('big', 'x'.repeat(7000)), ...many]);
  expect(end.sealedOutputs.map(({ name }) => name)).toEqual(
    Array.from({ length: 8 }, (_, at) => `key-${at}`),
  );
  expect(end.payload.sealedOutputs).toHaveLength(8);
});
