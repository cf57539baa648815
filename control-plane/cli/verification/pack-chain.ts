import { createHash } from 'node:crypto';
import { verifyChain } from '../../audit/verify-chain.ts';
import type { ChainEntry } from '../../audit/verify-chain.ts';
import type { PackBody } from '../api/bodies.ts';
import type { CheckList } from './check-list.ts';
import type { JobFacts } from './pack-jobs.ts';
import { bytes } from './pack-trust.ts';

const SUBJECT = 'audit chain';

/**
 * Checks the intervention's hash chain, that it tells of exactly the jobs of the pack, and that every head an
 * agent has signed is still in it. Returns how many entries the newest of those heads vouches for: entries bear
 * no signature, so that the control plane alone says what follows, the closing of the intervention included.
 */
export function checkChain(pack: PackBody, jobs: readonly JobFacts[], checks: CheckList): number {
  const seenHeads = jobs.flatMap((job) => job.auditHeads);
  const verdict = verifyChain(pack.chain, {
    chain: `intervention:${pack.intervention.id}`,
    seenHeads,
  });
  if (!verdict.intact) {
    checks.fails(SUBJECT, `first break at entry ${verdict.sequence}: ${verdict.problem}`);
    return 0;
  }
  if (kindOf(pack.chain[0]) !== 'intervention.opened') {
    checks.fails(SUBJECT, 'it does not begin with the opening of the intervention');
    return 0;
  }
  checks.holds(SUBJECT, `${verdict.entries} entries, head ${verdict.head}`);
  const signed = pack.chain.findLastIndex(({ hash }) => seenHeads.includes(hash)) + 1;
  checks.note(
    SUBJECT,
    signed === 0
      ? `no receipt names an entry of it: that it is whole, only the control plane says`
      : `an agent signed how it stood at entry ${signed} of ${verdict.entries}: what came after, or was cut off at the end, only the control plane says`,
  );
  const told = readOrders(pack.chain);
  for (const job of jobs) {
    if (!told.has(job.orderDigest)) {
      checks.fails(SUBJECT, `no entry tells of the order of ${job.name}`);
    }
  }
  const known = new Set(pack.jobs.map((job) => job.id));
  for (const [digest, { job, sequence }] of told) {
    if (!known.has(job)) {
      checks.fails(SUBJECT, `entry ${sequence} tells of job ${job}, which the pack leaves out`);
    } else if (!jobs.some((one) => one.orderDigest === digest)) {
      checks.fails(SUBJECT, `entry ${sequence} tells of another order of job ${job}`);
    }
  }
  checkReceiptsTold(pack, checks);
  return signed;
}

function kindOf(entry: ChainEntry | undefined): unknown {
  return entry === undefined ? undefined : (JSON.parse(entry.entry) as { kind?: unknown }).kind;
}

/** Every receipt must be the one the chain was told of when it came. */
function checkReceiptsTold(pack: PackBody, checks: CheckList): void {
  const told = new Set(
    pack.chain.flatMap(({ entry }) => {
      const receipt = contentOf(entry)['receipt'];
      return typeof receipt === 'string' ? [receipt] : [];
    }),
  );
  for (const job of pack.jobs) {
    for (const which of ['accepted', 'final'] as const) {
      const envelope = job.documents[which];
      if (envelope === null) continue;
      const digest = `sha256:${createHash('sha256').update(bytes(envelope)).digest('hex')}`;
      if (!told.has(digest)) {
        checks.fails(SUBJECT, `no entry tells of the receipt of ${job.name}, ${which}`);
      }
    }
  }
}

function readOrders(chain: readonly ChainEntry[]): Map<string, { job: string; sequence: number }> {
  const orders = new Map<string, { job: string; sequence: number }>();
  for (const { entry, sequence } of chain) {
    const { job, order } = contentOf(entry);
    if (typeof job === 'string' && typeof order === 'string') orders.set(order, { job, sequence });
  }
  return orders;
}

/** Only called for entries whose hash was checked. */
function contentOf(entry: string): Record<string, unknown> {
  const parsed = JSON.parse(entry) as { content?: Record<string, unknown> };
  return parsed.content ?? {};
}
