import { describe, expect, it } from 'vitest';
import { createTestDatabase } from '../../test/fixtures/database.ts';
import { createLogPartitions } from './log-partitions.ts';

const insert = `insert into log_chunks (day, job_id, start, length, first_line, lines, compression, data)
  values ($1, gen_random_uuid(), 0, 1, 0, 0, 0, 'x')`;

async function tablesOf(database: {
  query: (sql: string) => Promise<object[]>;
}): Promise<unknown[]> {
  const rows = await database.query(
    'select tableoid::regclass::text as name from log_chunks order by 1',
  );
  return rows.map((row) => (row as { name: string }).name);
}

describe('partitions of stored logs', () => {
  it('are made for today and a week ahead, once, also when two start together', async () => {
    const own = await createTestDatabase();
    const { database } = own;
    const now = new Date('2027-02-26T23:59:59Z');
    const [first, second] = await Promise.all([
      createLogPartitions(database, now),
      createLogPartitions(database, now),
    ]);
    expect([...first, ...second].sort()).toEqual([
      'log_chunks_2027_02_26',
      'log_chunks_2027_02_27',
      'log_chunks_2027_02_28',
      'log_chunks_2027_03_01',
      'log_chunks_2027_03_02',
      'log_chunks_2027_03_03',
      'log_chunks_2027_03_04',
      'log_chunks_2027_03_05',
    ]);
    expect(await createLogPartitions(database, now)).toEqual([]);
    const next = await createLogPartitions(database, new Date('2027-02-27T00:00:00Z'));
    expect(next).toEqual(['log_chunks_2027_03_06']);
    await own.close();
  });

  it('hold the chunks of their day as they came; the default one holds all others', async () => {
    const own = await createTestDatabase();
    const { database } = own;
    await createLogPartitions(database, new Date('2027-02-26T12:00:00Z'));
    await database.query(insert, ['2027-02-26']);
    await database.query(insert, ['2027-03-05']);
    await database.query(insert, ['2031-01-01']);
    expect(await tablesOf(database)).toEqual([
      'log_chunks_2027_02_26',
      'log_chunks_2027_03_05',
      'log_chunks_default',
    ]);
    const storage = await database.query<{ storage: string }>(
      `select distinct attstorage as storage from pg_attribute
       where attname = 'data' and attrelid in (select inhrelid from pg_inherits)`,
    );
    expect(storage).toEqual([{ storage: 'e' }]);
    await own.close();
  });

  it('are left out for a day whose chunks came before its partition', async () => {
    const own = await createTestDatabase();
    const { database } = own;
    await database.query(insert, ['2027-02-27']);
    const made = await createLogPartitions(database, new Date('2027-02-26T12:00:00Z'));
    expect(made).not.toContain('log_chunks_2027_02_27');
    expect(made).toHaveLength(7);
    await database.query(insert, ['2027-02-27']);
    expect(await tablesOf(database)).toEqual(['log_chunks_default', 'log_chunks_default']);
    await own.close();
  });
});
