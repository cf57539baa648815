import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { createTrustWorld } from '../test/fixtures/trust-world.ts';
import { digestOf, openDocument } from '../proto/documents/document.ts';
import { stateEnd } from './end-statement.ts';
import type { JournalRecord } from './jobs/journal-record.ts';
import { createLostJob } from './lost-job.ts';
import { Receipts } from './trust/receipts.ts';

const digest = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

it('a job that saved more than a document can name has a receipt all the same', async () => {
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
  const lost = createLostJob(delivery.jobId, 1);
  const gap = { offset: 2 ** 52, missingBytes: 2 ** 52, missingLines: 2 ** 52 };
  const log = { ...lost.ended!.log, gaps: Array.from({ length: 80 }, () => gap) };
  const job = { ...lost, ended: { ...lost.ended!, log }, records: () => saved };
  const { receipt } = await stateEnd(job, {
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
  const { payload } = openDocument('receipt', receipt, [key]);
  if (payload.statement !== 'ended') throw new Error('not the end');
  expect(payload.changes).toHaveLength(64);
  expect(payload.changes[0]?.backups[0]).toBe(digest('0 0'));
});
