import { describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { DomainError } from '../domain-error.ts';
import { openDatabase } from './database.ts';
import { Writes } from './writes.ts';
import { isDatabaseUnavailable, retryWhileUnavailable } from './retry.ts';

const test = useTestDatabase();
const away = new DomainError('unavailable', 'database_unavailable', 'Away.');

describe('a database', () => {
  it('keeps all or nothing of a transaction', async () => {
    const { database } = test;
    await database.query('create table kept (value int)');
    const failing = database.transaction(async (queries) => {
      await queries.query('insert into kept values (1)');
      throw new Error('on second thought');
    });
    await expect(failing).rejects.toThrow('on second thought');
    await database.transaction((queries) => queries.query('insert into kept values (2)'));
    expect(await database.query('select value from kept')).toEqual([{ value: 2 }]);
  });

  it('sends statements without waiting, and keeps none when one of them fails', async () => {
    const { database } = test;
    await database.query('create table sent (value int primary key)');
    const send = (values: readonly number[]) =>
      database.transaction(async (queries) => {
        const writes = new Writes();
        for (const value of values) {
          writes.send(queries.query('insert into sent values ($1)', [value]));
        }
        await writes.settled();
      });
    await send([1, 2, 3]);
    await expect(send([4, 2, 5])).rejects.toThrow('duplicate key');
    const thrown = database.transaction(async (queries) => {
      new Writes().send(queries.query('insert into sent values (1)'));
      throw new Error('on second thought');
    });
    await expect(thrown).rejects.toThrow('on second thought');
    expect(await database.query('select value from sent order by value')).toEqual([
      { value: 1 },
      { value: 2 },
      { value: 3 },
    ]);
  });

  it('reads 64-bit numbers as numbers', async () => {
    expect(await test.database.query('select 9007199254740991::bigint as most')).toEqual([
      { most: Number.MAX_SAFE_INTEGER },
    ]);
  });

  it('whose connection is cut says it is unavailable, wherever that happens, and goes on', async () => {
    const database = openDatabase({ ...test.config, max: 1, application_name: 'victim' });
    const kill = () =>
      test.database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim'
           and datname = current_database()`,
      );
    try {
      await database.query('select 1');
      const during = database.query('select pg_sleep(20)').catch((error: unknown) => error);
      await untilBusy();
      await kill();
      expect(isDatabaseUnavailable(await during)).toBe(true);

      const between = database.transaction(async (queries) => {
        await queries.query('select 1');
        await kill();
        await queries.query('select 2');
      });
      expect(isDatabaseUnavailable(await between.catch((error: unknown) => error))).toBe(true);

      await database.query('select 1');
      await kill();
      const again = await retryWhileUnavailable(() => database.query('select 3 as three'), {
        signal: AbortSignal.timeout(5_000),
      });
      expect(again).toEqual([{ three: 3 }]);
    } finally {
      await database.close();
    }

    async function untilBusy(): Promise<void> {
      for (;;) {
        const rows = await test.database.query(
          `select from pg_stat_activity where application_name = 'victim' and query like '%pg_sleep%'
             and state = 'active' and datname = current_database()`,
        );
        if (rows.length > 0) return;
      }
    }
  });

  it('that nobody listens for is unavailable; a wrong statement is not', async () => {
    for (const host of ['/nonexistent', '127.0.0.1']) {
      const database = openDatabase({ host, port: 1, user: 'x', database: 'x' });
      const error = await database.query('select 1').catch((caught: unknown) => caught);
      expect(isDatabaseUnavailable(error)).toBe(true);
      await database.close();
    }
    const wrong = await test.database.query('selekt').catch((caught: unknown) => caught);
    expect(isDatabaseUnavailable(wrong)).toBe(false);
  });

  it('refuses text it cannot keep as the request’s fault', async () => {
    const failing = test.database.query(`select $1::text`, ['a\u0000b']);
    await expect(failing).rejects.toMatchObject({ kind: 'invalid', code: 'text_not_storable' });
  });
});

describe('retrying', () => {
  it('goes on while the database is away, and returns what then comes', async () => {
    let tries = 0;
    const delays: number[] = [];
    const result = await retryWhileUnavailable(
      async () => {
        if (++tries < 4) throw away;
        return tries;
      },
      { signal: new AbortController().signal, onRetry: (_error, delay) => delays.push(delay) },
    );
    expect(result).toBe(4);
    expect(delays).toHaveLength(3);
    expect(Math.max(...delays)).toBeLessThanOrEqual(400);
  });

  it('ends with the error at its limit, when asked to stop, and at any other error', async () => {
    const signal = new AbortController().signal;
    const never = () => Promise.reject(away);
    await expect(retryWhileUnavailable(never, { signal, limitMs: 50 })).rejects.toBe(away);
    await expect(retryWhileUnavailable(never, { signal: AbortSignal.timeout(50) })).rejects.toBe(
      away,
    );
    let tries = 0;
    const other = () => {
      tries++;
      return Promise.reject(new Error('other'));
    };
    await expect(retryWhileUnavailable(other, { signal })).rejects.toThrow('other');
    expect(tries).toBe(1);
  });
});
