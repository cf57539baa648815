import { randomUUID } from 'node:crypto';
import type { Database, Queries } from '../database/database.ts';
import { auditPerson, newApiToken } from './accounts-service.ts';
import { hasAdmin, insertPerson } from './person-store.ts';
import type { Person } from './person-store.ts';

export const FIRST_ADMIN = 'admin';

/**
 * Makes the first admin when there is none, and hands their API token to `keep` before it becomes valid:
 * cut off in between, the next start makes another. Returns whether it did.
 */
export async function ensureFirstAdmin(
  database: Database,
  keep: (token: string) => void,
): Promise<boolean> {
  return database.transaction(async (queries) => {
    await queries.query(`select pg_advisory_xact_lock(hashtextextended('first admin', 0))`);
    if (await hasAdmin(queries)) return false;
    const person = await insertAdmin(queries);
    await auditPerson(queries, 'system', 'person.created', person);
    const { token } = await newApiToken(queries, person, 'first start');
    keep(token);
    return true;
  });
}

/** The name may be taken by somebody with another role. */
async function insertAdmin(queries: Queries): Promise<Person> {
  for (let number = 1; ; number++) {
    const name = number === 1 ? FIRST_ADMIN : `${FIRST_ADMIN}-${number}`;
    const person = await insertPerson(queries, {
      id: randomUUID(),
      name,
      role: 'admin',
      accountId: null,
    });
    if (person !== null) return person;
  }
}
