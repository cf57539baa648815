import type { Queries } from '../database/database.ts';
import { REFERENCE_LIMIT, referenceValues } from '../database/reference.ts';

export interface Account {
  id: string;
  name: string;
  createdAt: Date;
}

const COLUMNS = 'id, name, created_at as "createdAt"';

/** Null when the name is taken. */
export async function insertAccount(
  queries: Queries,
  account: Pick<Account, 'id' | 'name'>,
): Promise<Account | null> {
  const rows = await queries.query<Account>(
    `insert into accounts (id, name) values ($1, $2) on conflict (name) do nothing returning ${COLUMNS}`,
    [account.id, account.name],
  );
  return rows[0] ?? null;
}

/** `after` is the last name of the page before. */
export function listAccounts(
  queries: Queries,
  scope: string | null,
  after: string | null,
  limit: number,
): Promise<Account[]> {
  return queries.query<Account>(
    `select ${COLUMNS} from accounts
     where ($1::uuid is null or id = $1) and ($2::text is null or name > $2)
     order by name limit $3`,
    [scope, after, limit],
  );
}

export function accountCandidates(
  queries: Queries,
  scope: string | null,
  reference: string,
): Promise<Account[]> {
  const { text, suffix } = referenceValues(reference);
  return queries.query<Account>(
    `select ${COLUMNS} from accounts
     where ($1::uuid is null or id = $1) and (id::text = $2 or name = $2 or id::text like $3)
     order by id::text = $2 desc, name = $2 desc, id limit ${REFERENCE_LIMIT}`,
    [scope, text, suffix],
  );
}
