import { afterEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../../test/fixtures/database.ts';
import type { TestDatabase } from '../../test/fixtures/database.ts';
import { openDatabase } from './database.ts';
import { DatabaseNewerError, isMigrated, migrate, readMigrations } from './migrate.ts';

const opened: TestDatabase[] = [];
async function emptyDatabase(): Promise<TestDatabase> {
  const own = await createTestDatabase({ empty: true });
  opened.push(own);
  return own;
}
afterEach(async () => {
  for (const own of opened.splice(0)) await own.close();
});

const known = readMigrations();

describe('migrate', () => {
  it('brings an empty database to the newest schema, and a second time does nothing', async () => {
    const { database } = await emptyDatabase();
    expect(await migrate(database)).toBe(known.length);
    expect(await migrate(database)).toBe(0);
    expect(await isMigrated(database)).toBe(true);
    expect(await database.query('select count(*) as count from accounts')).toEqual([{ count: 0 }]);
  });

  it('two programs that start together apply each migration once', async () => {
    const { database, config } = await emptyDatabase();
    const other = openDatabase(config);
    try {
      const applied = await Promise.all([migrate(database), migrate(other), migrate(other)]);
      expect(applied.reduce((sum, count) => sum + count, 0)).toBe(known.length);
      const rows = await database.query('select version from schema_migrations order by version');
      expect(rows).toEqual(known.map(({ version }) => ({ version })));
    } finally {
      await other.close();
    }
  });

  it('refuses a database that newer code has migrated, and leaves it alone', async () => {
    const { database } = await emptyDatabase();
    const newer = { version: known.length + 1, name: 'newer', sql: 'create table newer (id int)' };
    await migrate(database, [...known, newer]);
    await expect(migrate(database)).rejects.toThrow(DatabaseNewerError);
    expect(await isMigrated(database)).toBe(false);
  });

  it('a migration that fails leaves nothing of itself and keeps the ones before it', async () => {
    const { database } = await emptyDatabase();
    const broken = {
      version: known.length + 1,
      name: 'broken',
      sql: 'create table half (id int); create table half (id int)',
    };
    await expect(migrate(database, [...known, broken])).rejects.toThrow(/already exists/);
    expect(await isMigrated(database)).toBe(true);
    expect(await database.query(`select to_regclass('half') as half`)).toEqual([{ half: null }]);
  });
});
