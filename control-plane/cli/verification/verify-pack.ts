import { authorizationName } from '../../../proto/documents/authorization-name.ts';
import { CheckList } from './check-list.ts';
import type { Check } from './check-list.ts';
import type { PackBody } from '../api/bodies.ts';
import { openAuthorizations, openRevocations, type Authorization } from './pack-authorizations.ts';
import { checkChain } from './pack-chain.ts';
import { checkJob } from './pack-jobs.ts';
import type { JobFacts } from './pack-jobs.ts';
import { openPackTrust } from './pack-trust.ts';
import type { Pins } from './pack-trust.ts';
import { checkUndos } from './pack-undos.ts';

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
  const revoked = openRevocations(pack.revocations, trust, authorizations, checks);
  const server = pack.intervention.serverId;
  const { agentKeys = [] } = pins;
  const { secrets } = pack;
  checkNames(pack, checks);
  for (const authorization of authorizations) checkHead(pack, authorization, checks);
  const jobs: JobFacts[] = [];
  const findOrder = (id: string) => jobs.find((job) => job.id === id)?.order;
  const evidence = { trust, authorizations, revoked, server, agentKeys, findOrder, secrets };
  for (const job of pack.jobs) {
    const facts = checkJob(job, evidence, checks);
    if (facts !== null) jobs.push(facts);
  }
  checkUndos(jobs, new Set(pack.jobs.map(({ id }) => id)), checks);
  if (agentKeys.length === 0) noteAgents(jobs, checks);
  const signedEntries = checkChain(pack, jobs, checks);
  for (const log of logs) {
    const job = jobs.find(({ logDigest }) => logDigest === log.digest);
    if (job) checks.holds(log.name, `is the log of ${job.name} as the agent signed it`);
    else checks.fails(log.name, `${log.digest} is not the digest of any log of this pack`);
  }
  return { checks: checks.checks, hasFailed: checks.hasFailed, signedEntries };
}

/** Whoever signs an order says whose receipts count for it, unless the client's grant says so too. */
function noteAgents(jobs: readonly JobFacts[], checks: CheckList): void {
  const doubtful = jobs.filter(({ isAgentGranted }) => !isAgentGranted);
  for (const key of new Set(doubtful.map(({ agentKey }) => agentKey))) {
    checks.note(
      'agent key',
      `that ${key} is the agent of this server, only the engineers' orders say; compare it with intervene-agent status there, or require it with --agent`,
    );
  }
}

/** What every authorization says of its case is signed, the head of the pack is not; a server may have been renamed. */
function checkHead(
  { intervention: { ticket, serverId, serverName } }: PackBody,
  { payload }: Authorization,
  checks: CheckList,
): void {
  const subject = authorizationName(payload);
  if (payload.ticket !== ticket) {
    checks.fails(subject, `is for another ticket than the pack says: ${JSON.stringify(ticket)}`);
  }
  const server = payload.servers.find(({ id }) => id === serverId);
  if (server !== undefined && server.name !== serverName) {
    checks.note(subject, `the pack calls that server ${JSON.stringify(serverName)}`);
  }
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
