import { readUnverified } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { Caller } from '../accounts/caller.ts';
import type { Queries } from '../database/database.ts';
import { handOverJobs } from '../jobs/hand-over.ts';
import type { HandedOver } from '../jobs/hand-over.ts';
import { readCertifications } from './certifications.ts';
import type { Certification } from './certifications.ts';

/**
 * Hands the jobs of people who leave to a lead: the one who sends them away, else the one who certified them.
 *
 * @param before the certifications that held before they left
 */
export async function handOverJobsOf(
  queries: Queries,
  leaving: readonly string[],
  before: readonly Certification[],
  by: Pick<Caller, 'personId' | 'role'>,
): Promise<HandedOver[]> {
  const handed: HandedOver[] = [];
  for (const person of leaving) {
    const lead = by.role === 'lead' && by.personId !== person ? by.personId : null;
    const to = lead ?? leadWhoCertified(person, before);
    handed.push(...(await handOverJobs(queries, [person], to, `person:${by.personId}`)));
  }
  return handed;
}

/** Of `before`, those who have no key left that counts. */
export async function withoutCertification(
  queries: Queries,
  before: readonly Certification[],
): Promise<string[]> {
  const after = new Set((await readCertifications(queries)).map(({ person }) => person));
  return [...new Set(before.map(({ person }) => person))].filter((person) => !after.has(person));
}

function leadWhoCertified(person: string, certifications: readonly Certification[]): string | null {
  const signers = certifications
    .filter((one) => one.person === person && one.kind === 'engineer')
    .flatMap(({ envelope }) => readUnverified('engineer', envelope).keyids);
  const lead = certifications.find(
    (one) =>
      one.kind === 'lead' &&
      one.person !== person &&
      one.keys.some((key) => signers.includes(keyFingerprint(key))),
  );
  return lead?.person ?? null;
}
