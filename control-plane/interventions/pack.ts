import { readUnverified } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import { readChain } from '../audit/audit-store.ts';
import type { ChainEntry } from '../audit/verify-chain.ts';
import { credentialsOfIntervention } from '../credentials/credential-store.ts';
import type { Credential } from '../credentials/credential-store.ts';
import type { Database, Queries } from '../database/database.ts';
import type { Intervention } from './intervention-store.ts';
import {
  certificationsBetween,
  chainEnvelopes,
  packGrants,
  packJobs,
  revocationEnvelopes,
} from './pack-store.ts';
import type { PackJob } from './pack-store.ts';

/** All that the papers of an intervention consist of; envelopes as they were signed. */
export interface Pack {
  intervention: Intervention;
  rootChain: Uint8Array[];
  accountKeys: Uint8Array[];
  certifications: Uint8Array[];
  grants: Uint8Array[];
  revocations: Uint8Array[];
  jobs: PackJob[];
  secrets: Credential[];
  chain: ChainEntry[];
}

/** Reads it in one transaction, so that its parts fit each other. */
export function readPack(database: Database, intervention: Intervention): Promise<Pack> {
  const { id, accountId } = intervention;
  return database.transaction(async (queries) => {
    await queries.query('set transaction isolation level repeatable read, read only');
    const jobs = await packJobs(queries, id);
    const grants = await packGrants(queries, id);
    const secrets = await credentialsOfIntervention(queries, id);
    const signers = new Set([
      ...secrets.flatMap(({ envelope }) =>
        envelope === null ? [] : readUnverified('credential', envelope).keyids,
      ),
      ...jobs.flatMap((job) => readUnverified('order', job.order).keyids),
      ...grants.flatMap((grant) => attestationSigners(grant)),
    ]);
    const { envelopes, keyids } = await certificationsOf(queries, jobs, signers);
    return {
      intervention,
      rootChain: await chainEnvelopes(queries, null),
      accountKeys: await chainEnvelopes(queries, accountId),
      certifications: envelopes,
      grants: grants.map((grant) => grant.envelope),
      revocations: await revocationEnvelopes(queries, [
        ...grants.map((grant) => grant.id),
        ...secrets.map((secret) => secret.id),
        ...signers,
        ...keyids,
      ]),
      jobs,
      secrets,
      chain: await readChain(queries, `intervention:${id}`),
    };
  });
}

function attestationSigners(grant: { kind: string; envelope: Buffer }): string[] {
  return grant.kind === 'attestation' ? readUnverified('attestation', grant.envelope).keyids : [];
}

/** The documents that certify these keys, and the leads that signed those. */
async function certificationsOf(
  queries: Queries,
  jobs: readonly PackJob[],
  signers: ReadonlySet<string>,
): Promise<{ envelopes: Uint8Array[]; keyids: string[] }> {
  const times = jobs.map((job) => job.createdAt.getTime());
  if (times.length === 0) return { envelopes: [], keyids: [] };
  const found = await certificationsBetween(
    queries,
    new Date(Math.min(...times)),
    new Date(Math.max(...times)),
  );
  const read = found.map(({ kind, envelope }) => {
    const { payload, keyids } = readUnverified(kind, envelope);
    return { kind, envelope, keyids, keys: payload.keys.map(keyFingerprint) };
  });
  const certifies = (keys: readonly string[], wanted: ReadonlySet<string>) =>
    keys.some((key) => wanted.has(key));
  const engineers = read.filter((row) => row.kind === 'engineer' && certifies(row.keys, signers));
  const issuers = new Set(engineers.flatMap((row) => row.keyids));
  // Leads count as engineers, so one may have signed an order too.
  const leads = read.filter(
    (row) => row.kind === 'lead' && (certifies(row.keys, issuers) || certifies(row.keys, signers)),
  );
  return {
    envelopes: [...leads, ...engineers].map((row) => row.envelope),
    keyids: [...issuers],
  };
}
