import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Database, Queries } from './database.ts';

export interface Migration {
  version: number;
  name: string;
  sql: string;
}

/** Thrown when the database was migrated by newer code: this code would not know what it finds there. */
export class DatabaseNewerError extends Error {
  override name = 'DatabaseNewerError';

  constructor(found: number, known: number) {
    super(
      `the database has schema version ${found}, this program knows up to ${known}; ` +
        'start a version of the program that is at least as new as the one before',
    );
  }
}

// Any number that nothing else locks: "iv" and "mi".
const MIGRATION_LOCK = 0x6976_6d69;

/** The numbered SQL files of a folder, in order. Throws when a number is missing or stands twice. */
export function readMigrations(
  folder = path.join(import.meta.dirname, 'migrations'),
): readonly Migration[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file, index) => {
      const match = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file);
      const version = Number(match?.[1]);
      if (match === null || version !== index + 1) {
        throw new Error(`migration ${file}: number ${index + 1} was expected`);
      }
      return { version, name: match[2]!, sql: readFileSync(path.join(folder, file), 'utf8') };
    });
}

/**
 * Brings the database to the newest schema, each file in a transaction of its own, and returns how many
 * were applied. Two programs that start together wait for each other. Throws DatabaseNewerError.
 */
export async function migrate(
  database: Database,
  migrations: readonly Migration[] = readMigrations(),
): Promise<number> {
  let applied = 0;
  for (;;) {
    const isDone = await database.transaction(async (queries) => {
      // A migration takes its time, and so may the wait for one that another program carries out.
      await queries.query('set local statement_timeout = 0');
      await queries.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
      const version = await schemaVersion(queries);
      if (version > migrations.length) throw new DatabaseNewerError(version, migrations.length);
      const next = migrations[version];
      if (next === undefined) return true;
      await queries.query(next.sql);
      await queries.query('insert into schema_migrations (version, name) values ($1, $2)', [
        next.version,
        next.name,
      ]);
      return false;
    });
    if (isDone) return applied;
    applied++;
  }
}

async function schemaVersion(queries: Queries): Promise<number> {
  await queries.query(
    `create table if not exists schema_migrations (
       version integer primary key, name text not null, applied_at timestamptz not null default now())`,
  );
  const rows = await queries.query<{ version: number }>(
    'select coalesce(max(version), 0) as version from schema_migrations',
  );
  return rows[0]?.version ?? 0;
}

/** Whether the database has exactly the schema this program was written for. */
export async function isMigrated(
  queries: Queries,
  migrations: readonly Migration[] = readMigrations(),
): Promise<boolean> {
  const rows = await queries.query<{ version: number }>(
    'select max(version) as version from schema_migrations',
  );
  return rows[0]?.version === migrations.length;
}
