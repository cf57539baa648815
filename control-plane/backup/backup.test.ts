import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import type { TestDatabase } from '../../test/fixtures/database.ts';
import { openCertificateAuthority } from '../agents/certificate-authority.ts';
import { listTables } from './database-tables.ts';
import { useBackupWorld } from './testing/backup-world.ts';

describe('a backup of an operator’s own database', { timeout: 60_000 }, () => {
  const its = useBackupWorld();

  it('brings every row of every table and every file back', async () => {
    const made = await its.backup('one');
    const restored = await its.restore('one');
    expect(restored).toMatchObject({ id: made.id, takenAt: made.takenAt, tables: made.tables });
    expect(restored.auditEntries).toBe(2);
    const [before, after] = [await contentOf(its.source), await contentOf(its.target)];
    expect(Object.keys(before).length).toBe(made.tables);
    for (const [table, digest] of Object.entries(before)) {
      // What a restore adds, and says.
      if (['restorations', 'audit_entries', 'jobs', 'job_events', 'agents'].includes(table))
        continue;
      expect([table, after[table]]).toEqual([table, digest]);
    }
    const key = readFileSync(path.join(its.data, 'ca/ca.key'));
    expect(readFileSync(its.at('restored/ca/ca.key')).equals(key)).toBe(true);
    expect(statSync(its.at('restored/ca/ca.key')).mode & 0o777).toBe(0o600);
    const jobs = await its.target.database.query<{ state: string; log: string }>(
      `select state, (select md5(string_agg(data, '' order by start)) from log_chunks c
         where c.job_id = j.id) as log from jobs j order by number`,
    );
    expect(jobs.map((job) => job.state)).toEqual(['running', 'delivered']);
    const logs = await its.source.database.query<{ log: string }>(
      `select md5(string_agg(data, '' order by start)) as log from log_chunks`,
    );
    expect(jobs[0]!.log).toBe(logs[0]!.log);
    const chain = await its.target.database.query<{ kind: string }>(
      `select kind from audit_entries where chain = 'operator' order by sequence`,
    );
    expect(chain.map(({ kind }) => kind)).toEqual(['a', 'b', 'control_plane.restored']);
  });

  it('is the state of one moment, whatever is committed meanwhile', async () => {
    const adding = new AbortController();
    const added = (async () => {
      while (!adding.signal.aborted) {
        await its.source.database.transaction(async (queries) => {
          const id = randomUUID();
          await queries.query('insert into accounts (id, name) values ($1, $2)', [id, id]);
          await queries.query(
            `insert into people (id, account_id, name, role) values ($1, $1, $2, 'client')`,
            [id, id],
          );
        });
      }
    })();
    try {
      for (let round = 0; round < 3; round++) await its.backup(`moment-${round}`);
    } finally {
      adding.abort();
      await added;
    }
    await its.restore('moment-2');
    const [row] = await its.target.database.query<{ alone: number }>(
      `select count(*)::int as alone from accounts a where name = id::text
         and not exists (select from people p where p.account_id = a.id)`,
    );
    expect(row!.alone).toBe(0);
  });

  it('gives numbers that were told to people since to nothing else', async () => {
    await its.backup('numbers');
    await its.restore('numbers');
    const [{ server, account } = { server: '', account: '' }] = await its.target.database.query<{
      server: string;
      account: string;
    }>('select id as server, account_id as account from servers');
    const rows = await its.target.database.query<{ number: number }>(
      `insert into interventions (id, account_id, server_id, ticket) values ($1, $2, $3, 'T')
       returning number`,
      [randomUUID(), account, server],
    );
    expect(rows[0]!.number).toBeGreaterThan(2_000);
  });

  it('is sealed by a passphrase, and opened by no other', async () => {
    await its.backup('sealed', { kind: 'passphrase', passphrase: 'right' });
    expect(readFileSync(its.at('sealed'), 'latin1')).toContain('age-encryption.org/v1');
    const wrong = its.restore('sealed', { key: { kind: 'passphrase', passphrase: 'wrong' } });
    await expect(wrong).rejects.toThrow('another key or passphrase');
    await expect(its.restore('sealed')).rejects.toThrow('it is sealed');
    await its.backup('plain');
    const swapped = its.restore('plain', { key: { kind: 'passphrase', passphrase: 'right' } });
    await expect(swapped).rejects.toThrow('it is not sealed');
    await its.restore('sealed', { key: { kind: 'passphrase', passphrase: 'right' } });
  }, 180_000);

  it('is refused for a data folder and a database that do not belong together', async () => {
    await openCertificateAuthority(its.at('other/ca'));
    await expect(its.backup('mixed', { kind: 'none' }, its.at('other'))).rejects.toThrow(
      'CA keys differ',
    );
    expect(() => statSync(its.at('mixed'))).toThrow('ENOENT');
  });

  it('is refused wherever a byte of it is not as it was, and leaves nothing', async () => {
    await its.backup('whole');
    const bytes = readFileSync(its.at('whole'));
    const places = [0, 5, 20, ...[1, 2, 3].map((part) => Math.floor((bytes.length * part) / 4))];
    for (const place of places) {
      const other = Buffer.from(bytes);
      other[place]! ^= 0x40;
      writeFileSync(its.at('changed'), other);
      await expect(its.restore('changed'), `byte ${place}`).rejects.toThrow();
    }
    for (const length of [0, 10, 25, Math.floor(bytes.length / 2), bytes.length - 40]) {
      writeFileSync(its.at('changed'), bytes.subarray(0, length));
      await expect(its.restore('changed'), `${length} bytes`).rejects.toThrow();
    }
    expect(() => statSync(its.at('restored'))).toThrow('ENOENT');
    expect(() => statSync(its.at('restored.restoring'))).toThrow('ENOENT');
    expect(await its.tablesOfTarget()).toBe(0);
    await its.restore('whole');
  }, 120_000);

  it('is restored neither into a database with rows nor into a folder with files', async () => {
    await its.backup('again');
    mkdirSync(its.at('full'));
    writeFileSync(its.at('full/file'), '');
    await expect(its.restore('again', { to: 'full' })).rejects.toThrow('not empty');
    await its.restore('again');
    await expect(its.restore('again', { to: 'second' })).rejects.toThrow('has rows');
    expect(() => statSync(its.at('second'))).toThrow('ENOENT');
  });

  it('of a newer schema is not read', async () => {
    await its.source.database.query(
      `insert into schema_migrations (version, name) values (9999, 'x')`,
    );
    try {
      await its.backup('newer');
    } finally {
      await its.source.database.query('delete from schema_migrations where version = 9999');
    }
    await expect(its.restore('newer')).rejects.toThrow('made by a newer program');
  });

  it('is refused when an entry of its audit was edited before it was made', async () => {
    const edit = (from: string, to: string) =>
      its.source.database.query(
        `update audit_entries set entry = replace(entry, $1, $2) where sequence = 1`,
        [from, to],
      );
    await edit('"kind":"a"', '"kind":"c"');
    try {
      await its.backup('edited');
    } finally {
      await edit('"kind":"c"', '"kind":"a"');
    }
    await expect(its.restore('edited')).rejects.toThrow('the audit chain operator breaks at 1');
  });
});

/** A digest of all rows of each table. */
async function contentOf({ config }: TestDatabase): Promise<Record<string, string>> {
  const client = new pg.Client(config);
  await client.connect();
  try {
    const found: Record<string, string> = {};
    for (const { name, columns } of await listTables(client)) {
      const { rows } = await client.query<{ digest: string }>(
        `select count(*) || md5(coalesce(string_agg(t::text, '' order by t::text), '')) as digest
         from (select ${columns.join(', ')} from ${name}) as t`,
      );
      found[name] = rows[0]!.digest;
    }
    return found;
  } finally {
    await client.end();
  }
}
