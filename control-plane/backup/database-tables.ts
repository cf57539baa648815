import pg from 'pg';

export interface Table {
  name: string;
  /** Those that rows are made of; what the database computes is left out. */
  columns: string[];
}

/** Kept by the migrations themselves. */
const MIGRATIONS_TABLE = 'schema_migrations';

/**
 * The tables of the schema, those that others refer to before them, so that rows can be put back in this order.
 * A table that refers to itself is no matter: that is judged at the end of its statement.
 */
export async function listTables(client: pg.Client): Promise<Table[]> {
  const { rows } = await client.query<{ name: string; columns: string[]; needs: string[] }>(
    `select c.relname::text as name,
       array(select a.attname::text from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
         order by a.attnum) as columns,
       array(select distinct t.relname::text from pg_constraint k join pg_class t on t.oid = k.confrelid
         where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> c.oid) as needs
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = current_schema and c.relkind in ('r', 'p') and not c.relispartition
       and c.relname <> $1
     order by c.relname`,
    [MIGRATIONS_TABLE],
  );
  const ordered: Table[] = [];
  const placed = new Set<string>();
  while (ordered.length < rows.length) {
    const ready = rows.filter(
      ({ name, needs }) => !placed.has(name) && needs.every((need) => placed.has(need)),
    );
    if (ready.length === 0) throw new Error('tables refer to each other in a circle');
    for (const { name, columns } of ready) {
      ordered.push({ name, columns });
      placed.add(name);
    }
  }
  return ordered;
}

export interface Sequence {
  table: string;
  column: string;
  last: number;
}

/** How far the numbers of each table have been given out. */
export async function readSequences(client: pg.Client): Promise<Sequence[]> {
  const { rows } = await client.query<{ table: string; column: string; sequence: string }>(
    `select c.relname::text as table, a.attname::text as column,
       pg_get_serial_sequence(quote_ident(c.relname), a.attname) as sequence
     from pg_attribute a join pg_class c on c.oid = a.attrelid
       join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = current_schema and a.attidentity <> '' and not a.attisdropped
       and c.relkind in ('r', 'p')
     order by 1, 2`,
  );
  const found: Sequence[] = [];
  for (const { table, column, sequence } of rows) {
    const state = await client.query<{ last: string; isCalled: boolean }>(
      `select last_value::text as last, is_called as "isCalled" from ${sequence}`,
    );
    const { last, isCalled } = state.rows[0]!;
    found.push({ table, column, last: isCalled ? Number(last) : Number(last) - 1 });
  }
  return found;
}

/** Lets the numbers of a table go on after `last`. */
export async function setSequence(
  client: pg.Client,
  { table, column, last }: Sequence,
): Promise<void> {
  await client.query(`select setval(pg_get_serial_sequence(quote_ident($1), $2), $3, true)`, [
    table,
    column,
    last,
  ]);
}

export async function schemaVersion(client: pg.Client): Promise<number> {
  const found = await client.query(`select to_regclass($1) is not null as "isThere"`, [
    MIGRATIONS_TABLE,
  ]);
  if (found.rows[0]!.isThere !== true) return 0;
  const { rows } = await client.query<{ version: number }>(
    `select coalesce(max(version), 0) as version from ${MIGRATIONS_TABLE}`,
  );
  return rows[0]!.version;
}

export function copyOutStatement({ name, columns }: Table): string {
  const list = columns.map((column) => pg.escapeIdentifier(column)).join(', ');
  // A table with partitions can only be copied by a query.
  return `copy (select ${list} from ${pg.escapeIdentifier(name)}) to stdout (format binary)`;
}

export function copyInStatement({ name, columns }: Table): string {
  const list = columns.map((column) => pg.escapeIdentifier(column)).join(', ');
  return `copy ${pg.escapeIdentifier(name)} (${list}) from stdin (format binary)`;
}

/** The first table that has a row; null when there is none. */
export async function findRows(client: pg.Client): Promise<string | null> {
  for (const { name } of await listTables(client)) {
    const { rowCount } = await client.query(`select from ${pg.escapeIdentifier(name)} limit 1`);
    if (rowCount! > 0) return name;
  }
  return null;
}
