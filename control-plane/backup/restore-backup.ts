import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';
import type { Logger } from 'pino';
import { openDataFolder } from '../data-folder.ts';
import { openDatabase } from '../database/database.ts';
import { createEmbeddedPostgres, OWN_DATABASE } from '../database/embedded-postgres.ts';
import { migrate, readMigrations } from '../database/migrate.ts';
import { findPostmaster } from '../database/postmaster.ts';
import { connect } from './database-access.ts';
import { findRows, listTables, schemaVersion } from './database-tables.ts';
import { syncFolder, writeDataFile } from './data-files.ts';
import { BackupDamagedError, readFrames } from './frames.ts';
import type { Description, Frame } from './frames.ts';
import { loadSequences, loadTable, noteRestoration, requireIntactChains } from './load-database.ts';
import { unseal } from './sealing.ts';
import type { SealedFile } from './sealing.ts';

export interface RestoreOptions extends SealedFile {
  /** Becomes the data folder; must not be there, or be empty. */
  data: string;
  /** The operator's PostgreSQL, with nothing in it; null for the embedded one. */
  databaseUrl: string | null;
  log: Logger;
}

export interface Restored {
  id: string;
  takenAt: string;
  schema: number;
  files: string[];
  tables: number;
  auditEntries: number;
  /** Jobs that waited for an agent, which is asked again. */
  asked: number;
}

/** Thrown when the place is not empty: nothing is ever overwritten. */
export class NotEmptyError extends Error {
  override name = 'NotEmptyError';
}

/** Thrown for a backup of a newer program. */
export class BackupNewerError extends Error {
  override name = 'BackupNewerError';
}

/**
 * Makes a control plane from a backup, where there is none. Everything is prepared beside the data folder and
 * judged whole before it gets its name; a restore that is cut off leaves nothing that anybody would start.
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  requireEmpty(options.data);
  await requireWhole(options);
  const staging = `${options.data}.restoring`;
  const folder = await openDataFolder(staging, { patienceMs: 0 });
  try {
    await clear(staging);
    const restored =
      options.databaseUrl === null
        ? await intoEmbedded(options, staging)
        : await intoUrl(options, staging, options.databaseUrl);
    requireEmpty(options.data);
    await folder.release();
    rmSync(path.join(staging, 'control-plane.pid'), { force: true });
    await rename(staging, options.data);
    syncFolder(path.dirname(options.data));
    return restored;
  } catch (error) {
    await clear(staging);
    await folder.release().catch(() => {});
    rmSync(staging, { recursive: true, force: true });
    throw error;
  }
}

/** Reads it to its end, before anything is made of it. */
async function requireWhole(sealed: SealedFile): Promise<void> {
  for await (const frame of readFrames(unseal(sealed))) void frame;
}

function requireEmpty(data: string): void {
  if (!existsSync(data) || readdirSync(data).length === 0) return;
  throw new NotEmptyError(`${data} is not empty`);
}

/** What a restore that was cut off had prepared. Its lock is ours, so it is over. */
async function clear(staging: string): Promise<void> {
  const left = findPostmaster(path.join(staging, 'postgres/data'));
  if (left !== undefined) {
    process.kill(left.pid, 'SIGQUIT');
    await left.exited;
  }
  for (const name of readdirSync(staging)) {
    if (name !== 'control-plane.pid') rmSync(path.join(staging, name), { recursive: true });
  }
}

async function intoEmbedded(options: RestoreOptions, staging: string): Promise<Restored> {
  const directory = path.join(staging, 'postgres');
  const postgres = createEmbeddedPostgres({ directory, log: options.log });
  try {
    await postgres.start();
    return await load(
      options,
      staging,
      (await postgres.connection(OWN_DATABASE)) as pg.ClientConfig,
    );
  } finally {
    await postgres.stop();
  }
}

async function intoUrl(options: RestoreOptions, staging: string, url: string): Promise<Restored> {
  return load(options, staging, { connectionString: url });
}

/** One transaction for all rows: it is committed when the end of the backup was read and everything holds. */
async function load(
  options: RestoreOptions,
  staging: string,
  connection: pg.ClientConfig,
): Promise<Restored> {
  const frames = new FrameReader(readFrames(unseal(options)));
  const about = await frames.description('backup');
  const migrations = readMigrations();
  if (about.schema > migrations.length) {
    throw new BackupNewerError(
      `it was made by a newer program (${about.version}, schema ${about.schema}); this one knows up to ${migrations.length}`,
    );
  }
  const { client, close } = await connect(connection, () => {});
  try {
    const held = await schemaVersion(client);
    const occupied = held === 0 ? null : await findRows(client);
    if (occupied !== null || held > about.schema) {
      throw new NotEmptyError(
        `the database is not empty${occupied === null ? '' : `: ${occupied} has rows`}`,
      );
    }
    await migrateTo(connection, migrations.slice(0, about.schema));
    await client.query('begin');
    const files: string[] = [];
    const missing = new Set((await listTables(client)).map(({ name }) => name));
    const tables = missing.size;
    let hasSequences = false;
    for (;;) {
      const description = await frames.next();
      if (description === null) break;
      if (description.kind === 'file') {
        const content = await collect(frames.data());
        await mkdir(staging, { recursive: true });
        writeDataFile(staging, { path: description.path, content });
        files.push(description.path);
      } else if (description.kind === 'table') {
        await loadTable(client, description, frames.data());
        missing.delete(description.name);
      } else if (description.kind === 'sequences') {
        await loadSequences(client, description.values);
        hasSequences = true;
      } else throw new BackupDamagedError('it begins a second time');
    }
    if (!files.includes('ca/ca.key')) throw new BackupDamagedError('the CA key is not in it');
    for (const name of missing) throw new BackupDamagedError(`the table ${name} is not in it`);
    if (!hasSequences) throw new BackupDamagedError('how far its numbers went is not in it');
    const auditEntries = await requireIntactChains(client);
    await client.query('commit');
    // What follows from it needs the newest schema.
    await migrateTo(connection, migrations);
    await client.query('begin');
    const { asked } = await noteRestoration(client, about);
    await client.query('commit');
    chmodSync(staging, 0o711);
    const { id, takenAt, schema } = about;
    return { id, takenAt, schema, files, tables, auditEntries, asked };
  } finally {
    await close();
  }
}

async function migrateTo(
  connection: pg.ClientConfig,
  migrations: Parameters<typeof migrate>[1],
): Promise<void> {
  const database = openDatabase(connection as pg.PoolConfig);
  try {
    await migrate(database, migrations);
  } finally {
    await database.close();
  }
}

const FILE_MAX_BYTES = 16 * 1024 * 1024;

async function collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of source) {
    bytes += piece.length;
    if (bytes > FILE_MAX_BYTES) throw new BackupDamagedError('a file in it is too large');
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}

/** Frames as descriptions, each with the data that follows it. */
class FrameReader {
  private readonly frames: AsyncGenerator<Frame>;
  private following: Frame | null | undefined;

  constructor(frames: AsyncGenerator<Frame>) {
    this.frames = frames;
  }

  /** Null at the end. */
  async next(): Promise<Description | null> {
    const frame = await this.take();
    if (frame === null) return null;
    if (frame.type === 'data')
      throw new BackupDamagedError('data stands where nothing describes it');
    return frame.description;
  }

  async description<K extends Description['kind']>(
    kind: K,
  ): Promise<Extract<Description, { kind: K }>> {
    const description = await this.next();
    if (description?.kind !== kind) throw new BackupDamagedError(`its ${kind} is missing`);
    return description as Extract<Description, { kind: K }>;
  }

  async *data(): AsyncGenerator<Buffer> {
    for (;;) {
      const frame = await this.take();
      if (frame?.type !== 'data') {
        this.following = frame;
        return;
      }
      yield frame.bytes;
    }
  }

  private async take(): Promise<Frame | null> {
    if (this.following !== undefined) {
      const frame = this.following;
      this.following = undefined;
      return frame;
    }
    const { done, value } = await this.frames.next();
    return done === true ? null : value;
  }
}
