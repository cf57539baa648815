import type { Queries } from '../database/database.ts';
import { REFERENCE_LIMIT, referenceValues } from '../database/reference.ts';
import type { Caller } from './caller.ts';

export interface Person {
  id: string;
  name: string;
  role: Caller['role'];
  accountId: string | null;
  createdAt: Date;
}

const COLUMNS = 'id, name, role, account_id as "accountId", created_at as "createdAt"';

/** Null when the name is taken. */
export async function insertPerson(
  queries: Queries,
  person: Omit<Person, 'createdAt'>,
): Promise<Person | null> {
  const rows = await queries.query<Person>(
    `insert into people (id, account_id, name, role) values ($1, $2, $3, $4)
     on conflict (name) where removed_at is null do nothing returning ${COLUMNS}`,
    [person.id, person.accountId, person.name, person.role],
  );
  return rows[0] ?? null;
}

export async function findPerson(queries: Queries, id: string): Promise<Person | null> {
  const rows = await queries.query<Person>(
    `select ${COLUMNS} from people where id = $1 and removed_at is null`,
    [id],
  );
  return rows[0] ?? null;
}

export function listPeople(
  queries: Queries,
  scope: string | null,
  after: string | null,
  limit: number,
): Promise<Person[]> {
  return queries.query<Person>(
    `select ${COLUMNS} from people
     where removed_at is null and ($1::uuid is null or account_id = $1)
       and ($2::text is null or name > $2)
     order by name limit $3`,
    [scope, after, limit],
  );
}

export function personCandidates(queries: Queries, reference: string): Promise<Person[]> {
  const { text, suffix } = referenceValues(reference);
  return queries.query<Person>(
    `select ${COLUMNS} from people
     where removed_at is null and (id::text = $1 or name = $1 or id::text like $2)
     order by id::text = $1 desc, name = $1 desc, id limit ${REFERENCE_LIMIT}`,
    [text, suffix],
  );
}

/** Admins other than this one; the rows are locked, so that two of them cannot remove each other. */
export async function lockOtherAdmins(queries: Queries, id: string): Promise<number> {
  const rows = await queries.query(
    `select id from people where role = 'admin' and removed_at is null order by id for update`,
  );
  return rows.filter((row) => row['id'] !== id).length;
}

export async function removePerson(queries: Queries, id: string): Promise<boolean> {
  const rows = await queries.query(
    'update people set removed_at = now() where id = $1 and removed_at is null returning id',
    [id],
  );
  return rows.length > 0;
}

export async function changeRole(
  queries: Queries,
  id: string,
  role: Person['role'],
): Promise<void> {
  await queries.query('update people set role = $2 where id = $1', [id, role]);
}

export async function hasAdmin(queries: Queries): Promise<boolean> {
  const rows = await queries.query(
    `select from people where role = 'admin' and removed_at is null limit 1`,
  );
  return rows.length > 0;
}
