import type { PackBody } from '../api/bodies.ts';
import { CheckList } from './check-list.ts';
import { openAuthorizations, openRevocations } from './pack-authorizations.ts';
import { checkJob } from './pack-jobs.ts';
import { openPackTrust } from './pack-trust.ts';
import type { Pins } from './pack-trust.ts';

/**
 * Why it is not proved that the agent made a secret in this job: the job's papers do not hold, or its receipt does
 * not name it. Null when it is proved. Anybody can seal to a client, the control plane too; this tells who did.
 */
export function doubtOf(
  pack: PackBody,
  pins: Pins,
  { jobId, digest }: { jobId: string; digest: string },
): string | null {
  const checks = new CheckList();
  const trust = openPackTrust(pack, pins, checks);
  const authorizations = openAuthorizations(pack.grants, trust, checks);
  const revoked = openRevocations(pack.revocations, trust, authorizations, checks);
  const job = pack.jobs.find(({ id }) => id === jobId);
  if (job === undefined) return 'the job is not among its papers';
  const evidence = {
    trust,
    authorizations,
    revoked,
    server: pack.intervention.serverId,
    agentKeys: [],
    secrets: pack.secrets,
    // What rests on an earlier job, as an undo does, makes no secret.
    findOrder: () => undefined,
  };
  const facts = checkJob(job, evidence, checks);
  const failed = checks.checks.find(({ verdict }) => verdict === 'fails');
  if (failed !== undefined) return `${failed.subject}: ${failed.detail}`;
  return facts?.sealedOutputs.includes(digest)
    ? null
    : "it is not among those of the job's receipt";
}
