import pg from 'pg';
import { DomainError } from '../domain-error.ts';

/** Runs statements: the pool itself, or one transaction. Values are always parameters. */
export interface Queries {
  query<Row extends pg.QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** Whatever it does throws a DomainError `database_unavailable` while the database is away. */
export interface Database extends Queries {
  /**
   * Commits what `work` did, or nothing of it when it throws. Statements that do not wait for one another are
   * sent without waiting, and carried out in their order: see `Writes`.
   */
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

// Offsets, numbers and sequences stay below 2^53, so bigint columns are read as numbers.
const INT8 = 20;
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : (pg.types.getTypeParser(oid, format as 'text') as never),
};

const DEFAULTS: pg.PoolConfig = {
  max: 20,
  connectionTimeoutMillis: 5_000,
  // A new connection knows no statement and no table yet: its first queries take ten times as long.
  idleTimeoutMillis: 300_000,
  // Statements go out without waiting for the answer to the one before; PostgreSQL keeps their order.
  pipeline: true,
  // A statement that hangs must not hold its connection for ever.
  statement_timeout: 60_000,
  idle_in_transaction_session_timeout: 60_000,
  application_name: 'intervene',
};

export function openDatabase(options: pg.PoolConfig): Database {
  const pool = new pg.Pool({ ...DEFAULTS, ...options, types });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => {});
  return {
    query: (sql, values = []) => run(pool, sql, values),
    transaction: (work) => inTransaction(pool, work),
    close: () => pool.end(),
  };
}

async function run<Row extends pg.QueryResultRow>(
  runner: pg.Pool | pg.PoolClient,
  sql: string,
  values: readonly unknown[],
): Promise<Row[]> {
  try {
    if (values.length === 0) return (await runner.query<Row>(sql)).rows;
    const name = nameOf(sql);
    const query = { text: sql, values: [...values], ...(name !== undefined && { name }) };
    return (await runner.query<Row>(query)).rows;
  } catch (error) {
    throw translated(error);
  }
}

const STATEMENTS = 1_000;
const names = new Map<string, string | undefined>();

/** `($1::uuid is null or …)`: one plan for all values would be a bad one for most of them. */
const OPTIONAL_CONDITION = /\$\d+::\w+ is null or/;

/**
 * Statements with parameters are prepared once per connection: parsing and planning costs more than carrying
 * most of them out. There are as many names as there are texts in the program.
 */
function nameOf(sql: string): string | undefined {
  if (names.has(sql)) return names.get(sql);
  if (names.size >= STATEMENTS) return undefined;
  const name = OPTIONAL_CONDITION.test(sql) ? undefined : `s${names.size}`;
  names.set(sql, name);
  return name;
}

async function inTransaction<T>(pool: pg.Pool, work: (queries: Queries) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => {
    throw translated(error);
  });
  let broken: Error | undefined;
  // A connection that breaks between two statements says so by an event.
  const onError = (error: Error) => (broken = error);
  client.on('error', onError);
  try {
    // Goes out with the first statement of `work`.
    const begun = run(client, 'begin', []);
    begun.catch(ignore);
    const result = await work({ query: (sql, values = []) => run(client, sql, values) });
    await begun;
    await run(client, 'commit', []);
    return result;
  } catch (error) {
    await client.query('rollback').catch((failure: Error) => (broken = failure));
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

function ignore(): void {
  // Whoever waits for it later is told.
}

/** Text with a NUL character: JSON may hold it, PostgreSQL may not. */
const NOT_STORABLE = new Set(['22021', '22P05']);

function translated(error: unknown): unknown {
  if (NOT_STORABLE.has((error as { code?: string }).code ?? '')) {
    return new DomainError('invalid', 'text_not_storable', 'A text holds a NUL character.', {
      cause: error,
    });
  }
  if (!isUnavailable(error)) return error;
  return new DomainError('unavailable', 'database_unavailable', 'The database does not answer.', {
    safe: 'What was stored before is safe; whether this request was carried out is not known.',
    cause: error,
  });
}

/** System errors of a connection, as `error.code`. */
const CONNECTION_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/**
 * SQLSTATEs after which asking again later may work: connection exceptions (08), too many connections
 * (53300), shut down by an operator or after a crash (57P01 to 57P03), idle transaction ended (25P03),
 * a standby where a primary was expected (25006).
 */
const UNAVAILABLE_STATE = /^(?:08...|53300|57P0[123]|25P03|25006)$/;

/** What pg itself says without a code. */
const CLIENT_MESSAGES =
  /^(?:Connection terminated|timeout exceeded when trying to connect|timeout expired|Client has encountered a connection error|Cannot use a pool after)/;

function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string') return CONNECTION_ERRORS.has(code) || UNAVAILABLE_STATE.test(code);
  if (error instanceof AggregateError) return error.errors.some(isUnavailable);
  return CLIENT_MESSAGES.test(error.message);
}
