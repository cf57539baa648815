import { actorOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import type { Database } from '../database/database.ts';
import { appendAudit } from './audit.ts';

export interface Read {
  /** What was read: `log.read`. */
  kind: string;
  /** Id of the thing. */
  subject: string;
  chain: string;
  accountId: string;
  content: Record<string, unknown>;
}

/** Reading the same thing on within this time is the same reading. */
const SAME_READING = '1 day';

/** Tells in the audit that a person reads something, before they are given it; once a day at most. */
export async function recordRead(database: Database, caller: Caller, read: Read): Promise<void> {
  await database.transaction(async (queries) => {
    const rows = await queries.query(
      `insert into audit_reads (person_id, kind, subject) values ($1, $2, $3)
       on conflict (person_id, kind, subject) do update set at = now()
         where audit_reads.at < now() - interval '${SAME_READING}'
       returning subject`,
      [caller.personId, read.kind, read.subject],
    );
    if (rows.length === 0) return;
    await appendAudit(queries, {
      chain: read.chain,
      actor: actorOf(caller),
      kind: read.kind,
      accountId: read.accountId,
      content: read.content,
    });
  });
}
