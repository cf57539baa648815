import type { Queries } from '../database/database.ts';

/** What an agent's word leaves on a job. What is left out stays as it is. */
export interface JobPapers {
  acceptedReceipt?: Buffer;
  /** The refusal, or the end: the agent's last word. */
  finalReceipt?: Buffer;
  end?: JobEnd;
}

export interface JobEnd {
  exitStatus: number | null;
  result: unknown;
  planEnvelope: Buffer | null;
  planDigest: string | null;
  /** From now on nothing is added to the log. */
  logLength: number;
  logDigest: string;
  /** Null: not known yet. */
  logVerified: boolean | null;
}

const columns = [
  'accepted_receipt',
  'final_receipt',
  'exit_status',
  'result',
  'plan_envelope',
  'plan_digest',
  'log_length',
  'log_digest',
  'log_verified',
] as const;
export const PAPERS_COUNT = columns.length;

/** Assignments of an update of `jobs`, with parameters from `$first` on. */
export function papersSql(first: number): string {
  return columns
    .map((column, index) => `${column} = coalesce($${first + index}, jobs.${column})`)
    .join(', ');
}

export function papersValues({ acceptedReceipt, finalReceipt, end }: JobPapers): unknown[] {
  return [
    acceptedReceipt ?? null,
    finalReceipt ?? null,
    end?.exitStatus ?? null,
    end === undefined ? null : JSON.stringify(end.result),
    end?.planEnvelope ?? null,
    end?.planDigest ?? null,
    end?.logLength ?? null,
    end?.logDigest ?? null,
    end?.logVerified ?? null,
  ];
}

/** Stores them on a job whose state does not change with them. */
export async function storePapers(queries: Queries, id: string, papers: JobPapers): Promise<void> {
  await queries.query(`update jobs set ${papersSql(2)} where id = $1`, [
    id,
    ...papersValues(papers),
  ]);
}
