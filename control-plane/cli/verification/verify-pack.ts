import { CheckList } from './check-list.ts';
import type { Check } from './check-list.ts';
import type { PackBody } from '../api/bodies.ts';
import { openAuthorizations, openRevocations } from './pack-authorizations.ts';
import { checkChain } from './pack-chain.ts';
import { checkJob } from './pack-jobs.ts';
import { openPackTrust } from './pack-trust.ts';
import type { Pins } from './pack-trust.ts';

/** A log that lies beside the pack: its name, and the SHA-256 of its bytes. */
export interface LogFile {
  name: string;
  digest: string;
}

export interface PackVerdict {
  checks: readonly Check[];
  hasFailed: boolean;
  /** How many entries of the chain an agent's signature vouches for. */
  signedEntries: number;
}

/**
 * Checks an intervention's papers offline, by what is pinned and nothing else: who signed, whether they might,
 * whether the authorization covered what was done, and whether anything was altered or left out since.
 */
export function verifyPack(pack: PackBody, pins: Pins, logs: readonly LogFile[]): PackVerdict {
  const checks = new CheckList();
  const trust = openPackTrust(pack, pins, checks);
  const authorizations = openAuthorizations(pack.grants, trust, checks);
  const revoked = openRevocations(pack.revocations, trust, checks);
  const server = pack.intervention.serverId;
  checkNames(pack, checks);
  const jobs = pack.jobs.flatMap((job) => {
    const facts = checkJob(job, { trust, authorizations, revoked, server }, checks);
    return facts === null ? [] : [facts];
  });
  const signedEntries = checkChain(pack, jobs, checks);
  for (const log of logs) {
    const job = jobs.find(({ logDigest }) => logDigest === log.digest);
    if (job) checks.holds(log.name, `is the log of ${job.name} as the agent signed it`);
    else checks.fails(log.name, `${log.digest} is not the digest of any log of this pack`);
  }
  return { checks: checks.checks, hasFailed: checks.hasFailed, signedEntries };
}

/** Numbers are what people say aloud; a pack must not give a job the name of another. */
function checkNames(pack: PackBody, checks: CheckList): void {
  const { number } = pack.intervention;
  const seen = new Set<string>();
  for (const { id, name } of pack.jobs) {
    const isOwn =
      name.startsWith(`${number}/`) && /^[1-9]\d{0,8}$/.test(name.slice(`${number}/`.length));
    if (!isOwn)
      checks.fails(`job ${id}`, `is called ${JSON.stringify(name)}, which is no job of ${number}`);
    else if (seen.has(name)) checks.fails(`job ${id}`, `is called ${name}, as another one is`);
    seen.add(name);
  }
}
