import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../../test/fixtures/database.ts';
import type { TestDatabase } from '../../test/fixtures/database.ts';
import { openCertificateAuthority } from '../agents/certificate-authority.ts';
import { appendAudit } from '../audit/audit.ts';
import { createBackup } from './create-backup.ts';
import { listTables } from './database-tables.ts';
import { restoreBackup } from './restore-backup.ts';
import type { Key, Lock } from './sealing.ts';

const log = pino({ level: 'silent' });
const LOG_BYTES = 700_000;

/** As an operator gives it. */
function urlOf({ config }: TestDatabase): string {
  if (config.connectionString !== undefined) return config.connectionString;
  const { host, user, database } = config as Record<string, string>;
  return `postgres:///${database}?host=${host}&user=${user}`;
}

describe('a backup of an operator’s own database', { timeout: 60_000 }, () => {
  let source: TestDatabase;
  let target: TestDatabase;
  let folder: string;
  let data: string;
  const at = (name: string) => path.join(folder, name);

  beforeAll(async () => {
    source = await createTestDatabase();
    await fill(source);
  });
  afterAll(() => source.close());
  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'iv-bk-'));
    data = at('data');
    const authority = await openCertificateAuthority(path.join(data, 'ca'));
    await source.database.query(
      `insert into certificate_authority (id, certificate) values (1, $1)
       on conflict (id) do update set certificate = $1`,
      [authority.certificateDer],
    );
    target = await createTestDatabase({ empty: true });
  });
  afterEach(async () => {
    await target.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const backup = (file: string, lock: Lock = { kind: 'none' }, from = data) =>
    createBackup({
      file: at(file),
      lock,
      data: from,
      databaseUrl: urlOf(source),
      version: '1.0.0',
      log,
    });
  const restore = (file: string, key: Key | null = null, to = 'restored') =>
    restoreBackup({ file: at(file), key, data: at(to), databaseUrl: urlOf(target), log });

  it('brings every row of every table and every file back', async () => {
    const made = await backup('one');
    const restored = await restore('one');
    expect(restored).toMatchObject({ id: made.id, takenAt: made.takenAt, tables: made.tables });
    expect(restored.auditEntries).toBe(2);
    const [before, after] = [await contentOf(source), await contentOf(target)];
    expect(Object.keys(before).length).toBe(made.tables);
    for (const [table, digest] of Object.entries(before)) {
      // What a restore adds, and says.
      if (['restorations', 'audit_entries', 'jobs', 'job_events', 'agents'].includes(table))
        continue;
      expect([table, after[table]]).toEqual([table, digest]);
    }
    const key = readFileSync(path.join(data, 'ca/ca.key'));
    expect(readFileSync(at('restored/ca/ca.key')).equals(key)).toBe(true);
    expect(statSync(at('restored/ca/ca.key')).mode & 0o777).toBe(0o600);
    const jobs = await target.database.query<{ state: string; log: string }>(
      `select state, (select md5(string_agg(data, '' order by start)) from log_chunks c
         where c.job_id = j.id) as log from jobs j order by number`,
    );
    expect(jobs.map((job) => job.state)).toEqual(['running', 'delivered']);
    const logs = await source.database.query<{ log: string }>(
      `select md5(string_agg(data, '' order by start)) as log from log_chunks`,
    );
    expect(jobs[0]!.log).toBe(logs[0]!.log);
    const chain = await target.database.query<{ kind: string }>(
      `select kind from audit_entries where chain = 'operator' order by sequence`,
    );
    expect(chain.map(({ kind }) => kind)).toEqual(['a', 'b', 'control_plane.restored']);
  });

  it('is the state of one moment, whatever is committed meanwhile', async () => {
    const adding = new AbortController();
    const added = (async () => {
      while (!adding.signal.aborted) {
        await source.database.transaction(async (queries) => {
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
      for (let round = 0; round < 3; round++) await backup(`moment-${round}`);
    } finally {
      adding.abort();
      await added;
    }
    await restore('moment-2');
    const [row] = await target.database.query<{ alone: number }>(
      `select count(*)::int as alone from accounts a where name = id::text
         and not exists (select from people p where p.account_id = a.id)`,
    );
    expect(row!.alone).toBe(0);
  });

  it('gives numbers that were told to people since to nothing else', async () => {
    await backup('numbers');
    await restore('numbers');
    const [{ server, account } = { server: '', account: '' }] = await target.database.query<{
      server: string;
      account: string;
    }>('select id as server, account_id as account from servers');
    const rows = await target.database.query<{ number: number }>(
      `insert into interventions (id, account_id, server_id, ticket) values ($1, $2, $3, 'T')
       returning number`,
      [randomUUID(), account, server],
    );
    expect(rows[0]!.number).toBeGreaterThan(2_000);
  });

  it('is sealed by a passphrase, and opened by no other', async () => {
    await backup('sealed', { kind: 'passphrase', passphrase: 'right' });
    expect(readFileSync(at('sealed'), 'latin1')).toContain('age-encryption.org/v1');
    const wrong = restore('sealed', { kind: 'passphrase', passphrase: 'wrong' });
    await expect(wrong).rejects.toThrow('another key or passphrase');
    await expect(restore('sealed')).rejects.toThrow('it is sealed');
    await restore('sealed', { kind: 'passphrase', passphrase: 'right' });
  }, 180_000);

  it('is refused for a data folder and a database that do not belong together', async () => {
    await openCertificateAuthority(at('other/ca'));
    await expect(backup('mixed', { kind: 'none' }, at('other'))).rejects.toThrow('CA keys differ');
    expect(() => statSync(at('mixed'))).toThrow('ENOENT');
  });

  it('is refused wherever a byte of it is not as it was, and leaves nothing', async () => {
    await backup('whole');
    const bytes = readFileSync(at('whole'));
    const places = [0, 5, 20, ...[1, 2, 3].map((part) => Math.floor((bytes.length * part) / 4))];
    for (const place of places) {
      const other = Buffer.from(bytes);
      other[place]! ^= 0x40;
      writeFileSync(at('changed'), other);
      await expect(restore('changed'), `byte ${place}`).rejects.toThrow();
    }
    for (const length of [0, 10, 25, Math.floor(bytes.length / 2), bytes.length - 40]) {
      writeFileSync(at('changed'), bytes.subarray(0, length));
      await expect(restore('changed'), `${length} bytes`).rejects.toThrow();
    }
    expect(() => statSync(at('restored'))).toThrow('ENOENT');
    expect(() => statSync(at('restored.restoring'))).toThrow('ENOENT');
    const [{ tables } = { tables: -1 }] = await target.database.query<{ tables: number }>(
      `select count(*)::int as tables from pg_tables where schemaname = 'public'`,
    );
    expect(tables).toBe(0);
    await restore('whole');
  }, 120_000);

  it('is restored neither into a database with rows nor into a folder with files', async () => {
    await backup('again');
    mkdirSync(at('full'));
    writeFileSync(at('full/file'), '');
    await expect(restore('again', null, 'full')).rejects.toThrow('not empty');
    await restore('again');
    await expect(restore('again', null, 'second')).rejects.toThrow('has rows');
    expect(() => statSync(at('second'))).toThrow('ENOENT');
  });

  it('of a newer schema is not read', async () => {
    await source.database.query(`insert into schema_migrations (version, name) values (9999, 'x')`);
    try {
      await backup('newer');
    } finally {
      await source.database.query('delete from schema_migrations where version = 9999');
    }
    await expect(restore('newer')).rejects.toThrow('made by a newer program');
  });

  it('is refused when an entry of its audit was edited before it was made', async () => {
    const edit = (from: string, to: string) =>
      source.database.query(
        `update audit_entries set entry = replace(entry, $1, $2) where sequence = 1`,
        [from, to],
      );
    await edit('"kind":"a"', '"kind":"c"');
    try {
      await backup('edited');
    } finally {
      await edit('"kind":"c"', '"kind":"a"');
    }
    await expect(restore('edited')).rejects.toThrow('the audit chain operator breaks at 1');
  });
});

/** One account with what hangs below it: every type of column, links within a table, a partitioned table. */
async function fill({ database }: TestDatabase): Promise<void> {
  const id = randomUUID();
  const second = randomUUID();
  const write = (sql: string, ...values: unknown[]) => database.query(sql, values);
  await write('insert into accounts (id, name) values ($1, $2)', id, 'a \u{1F600} name\n\\.');
  await write(
    `insert into servers (id, account_id, name, addresses) values ($1, $1, 'web', '{192.0.2.1,"a b"}')`,
    id,
  );
  await write(
    `insert into agents (id, server_id, account_id, mode, key, key_fingerprint, age_recipient,
       certificate_serial, certificate_expires_at, certificate, certificate_request_hash, connected_at)
     values ($1, $1, $1, 'resident', '{"a": [1, null]}', 'f', 'r', 's', 'infinity', $2, '', now())`,
    id,
    Buffer.from([0, 1, 255]),
  );
  await write(
    `insert into interventions (id, account_id, server_id, ticket) values ($1, $1, $1, 'T')`,
    id,
  );
  const job = `insert into jobs (id, account_id, intervention_id, number, server_id, agent_id, action,
      action_version, mode, parameters, order_envelope, order_digest, state, start_before, undoes_job_id)
    values ($1, $2, $2, $3, $2, $2, 'command.run', 1, 'apply', '{}', '', 'd', $4, now(), $5)`;
  await write(job, id, id, 1, 'running', null);
  await write(job, second, id, 2, 'queued', id);
  for (let start = 0; start < LOG_BYTES; start += 16_384) {
    await write(
      `insert into log_chunks (day, job_id, start, length, first_line, lines, compression, data)
       values (current_date, $1, $2::bigint, 16384, 0, 0, 0, decode(repeat(md5($2::bigint::text), 1024), 'hex'))`,
      id,
      start,
    );
  }
  for (const kind of ['a', 'b']) {
    const event = { chain: 'operator', actor: 'system', accountId: null, content: {} };
    await database.transaction((queries) => appendAudit(queries, { ...event, kind }));
  }
}

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
