import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { createTestDatabase } from '../../../test/fixtures/database.ts';
import type { TestDatabase } from '../../../test/fixtures/database.ts';
import { openCertificateAuthority } from '../../agents/certificate-authority.ts';
import { appendAudit } from '../../audit/audit.ts';
import { insertMade } from '../../credentials/credential-store.ts';
import { createBackup } from '../create-backup.ts';
import { FrameWriter, readFrames } from '../frames.ts';
import type { Frame } from '../frames.ts';
import { restoreBackup } from '../restore-backup.ts';
import { seal, unseal } from '../sealing.ts';
import type { Key, Lock } from '../sealing.ts';

const log = pino({ level: 'silent' });
const LOG_BYTES = 700_000;

/** A filled database to save; before each test a data folder of it, and an empty database to restore into. */
export class BackupWorld {
  source!: TestDatabase;
  target!: TestDatabase;
  folder = '';

  get data(): string {
    return this.at('data');
  }

  at(name: string): string {
    return path.join(this.folder, name);
  }

  async begin(): Promise<void> {
    this.folder = mkdtempSync(path.join(tmpdir(), 'iv-bk-'));
    const authority = await openCertificateAuthority(path.join(this.data, 'ca'));
    await this.source.database.query(
      `insert into certificate_authority (id, certificate) values (1, $1)
       on conflict (id) do update set certificate = $1`,
      [authority.certificateDer],
    );
    this.target = await createTestDatabase({ empty: true });
  }

  backup(file: string, lock: Lock = { kind: 'none' }, data = this.data) {
    const databaseUrl = urlOf(this.source);
    return createBackup({ file: this.at(file), lock, data, databaseUrl, version: '1.0.0', log });
  }

  restore(
    file: string,
    {
      key = null,
      to = 'restored',
      digest = null,
    }: { key?: Key | null; to?: string; digest?: string | null } = {},
  ) {
    const databaseUrl = urlOf(this.target);
    return restoreBackup({ file: this.at(file), key, digest, data: this.at(to), databaseUrl, log });
  }

  /** What somebody makes of a backup who knows the format: `change` gives other frames for each, or none. */
  async forge(from: string, to: string, change: (frame: Frame) => Frame[]): Promise<void> {
    const frames = readFrames(unseal({ file: this.at(from), key: null, digest: null }));
    async function* content() {
      const writer = new FrameWriter();
      for await (const frame of frames) {
        for (const made of change(frame)) {
          yield made.type === 'data' ? writer.data(made.bytes) : writer.describe(made.description);
        }
      }
      yield writer.end();
    }
    writeFileSync(this.at(to), await buffer(await seal(content(), { kind: 'none' })));
  }

  async tablesOfTarget(): Promise<number> {
    const [row] = await this.target.database.query<{ tables: number }>(
      `select count(*)::int as tables from pg_tables where schemaname = 'public'`,
    );
    return row!.tables;
  }
}

/** Its fields are there inside tests and hooks only. */
export function useBackupWorld(): BackupWorld {
  const world = new BackupWorld();
  beforeAll(async () => {
    world.source = await createTestDatabase();
    await fill(world.source);
  });
  afterAll(() => world.source.close());
  beforeEach(() => world.begin());
  afterEach(async () => {
    await world.target.close();
    rmSync(world.folder, { recursive: true, force: true });
  });
  return world;
}

/** As an operator gives it. */
function urlOf({ config }: TestDatabase): string {
  if (config.connectionString !== undefined) return config.connectionString;
  const { host, user, database } = config as Record<string, string>;
  return `postgres:///${database}?host=${host}&user=${user}`;
}

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
  const maker = { id, accountId: id, serverId: id, action: 'command.run' };
  const sealed = Buffer.from([0, 255]);
  await insertMade(database, maker, [{ name: 'password', digest: 'd', sealed }]);
  await write(
    'insert into job_credentials (job_id, credential_id) select $1, id from credentials',
    second,
  );
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
