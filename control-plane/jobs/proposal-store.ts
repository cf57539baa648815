import type { Attestation, Grant } from '../../proto/documents/kinds/grant.ts';
import type { Queries } from '../database/database.ts';

/** A job that waits for signatures, and what its order rests on. */
export interface Proposal {
  orderEnvelope: Buffer;
  orderDigest: string;
  orderedBy: string | null;
  engineersNeeded: number;
  startBefore: Date;
  /** Ids of the people whose signatures it has. */
  signedBy: string[];
  authorization: {
    kind: 'grant' | 'attestation';
    content: Grant | Attestation;
    envelope: Buffer;
  } | null;
  plan: Buffer | null;
}

/** Of a job whose row is locked. */
export async function readProposal(queries: Queries, jobId: string): Promise<Proposal> {
  const rows = await queries.query<Proposal & Record<string, unknown>>(
    `select j.order_envelope as "orderEnvelope", j.order_digest as "orderDigest",
       j.ordered_by as "orderedBy", j.engineers_needed as "engineersNeeded",
       j.start_before as "startBefore",
       array(select s.person_id::text from job_signatures s where s.job_id = j.id) as "signedBy",
       (select json_build_object('kind', g.kind, 'content', g.content)
        from grants g where g.id = j.grant_id) as authorization,
       (select g.envelope from grants g where g.id = j.grant_id) as "authorizationEnvelope",
       (select p.plan_envelope from jobs p where p.id = j.plan_job_id) as plan
     from jobs j where j.id = $1`,
    [jobId],
  );
  const { authorizationEnvelope, ...proposal } = rows[0]!;
  if (proposal.authorization !== null) {
    proposal.authorization.envelope = authorizationEnvelope as Buffer;
  }
  return proposal as Proposal;
}

/** The same order with one signature more. */
export async function addOrderSignature(
  queries: Queries,
  jobId: string,
  personId: string,
  envelope: Uint8Array,
): Promise<void> {
  await queries.query('update jobs set order_envelope = $2 where id = $1', [
    jobId,
    Buffer.from(envelope),
  ]);
  await queries.query('insert into job_signatures (job_id, person_id) values ($1, $2)', [
    jobId,
    personId,
  ]);
}
