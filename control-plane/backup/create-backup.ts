import { createHash, randomUUID, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, open, rm } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';
import { copyOut } from './copy-stream.ts';
import { openSource } from './database-access.ts';
import type { Source } from './database-access.ts';
import { copyOutStatement, listTables, readSequences, schemaVersion } from './database-tables.ts';
import { readDataFiles, syncFolder } from './data-files.ts';
import type { DataFile } from './data-files.ts';
import { DATA_MAX_BYTES, FrameWriter } from './frames.ts';
import { seal } from './sealing.ts';
import type { Lock } from './sealing.ts';

export interface BackupOptions extends Source {
  file: string;
  lock: Lock;
  version: string;
}

/** What was made, for the person who keeps it. */
export interface MadeBackup {
  file: string;
  id: string;
  takenAt: string;
  bytes: number;
  digest: string;
  schema: number;
  tables: number;
  files: string[];
}

/** Thrown instead of replacing a file. */
export class BackupExistsError extends Error {
  override name = 'BackupExistsError';
}

/** Thrown when what would be saved does not belong together. */
export class MismatchError extends Error {
  override name = 'MismatchError';
}

/**
 * Saves a control plane as it is at one moment: everything that was committed before is in it, and nothing that
 * was committed later. It may go on working meanwhile. The file appears when it is whole, or not at all; one that
 * is there already is not replaced.
 */
export async function createBackup(options: BackupOptions): Promise<MadeBackup> {
  if (existsSync(options.file)) throw new BackupExistsError(`${options.file} is there already`);
  const { client, close } = await openSource(options);
  try {
    await client.query('begin isolation level repeatable read read only');
    const about = await describe(client, options);
    const files = readDataFiles(options.data);
    await requireOneControlPlane(client, files);
    const tables = await listTables(client);
    const content = encode(client, { about, files, tables });
    const { bytes, digest } = await writeWhole(options.file, await seal(content, options.lock));
    return {
      file: options.file,
      id: about.id,
      takenAt: about.takenAt,
      bytes,
      digest,
      schema: about.schema,
      tables: tables.length,
      files: files.map((file) => file.path),
    };
  } finally {
    await close();
  }
}

interface About {
  id: string;
  version: string;
  schema: number;
  takenAt: string;
}

async function describe(client: pg.Client, { version }: BackupOptions): Promise<About> {
  const schema = await schemaVersion(client);
  if (schema === 0) throw new MismatchError('the database has no control plane in it');
  // The first statement of the transaction has fixed what it sees.
  const { rows } = await client.query<{ now: Date }>('select clock_timestamp() as now');
  return { id: randomUUID(), version, schema, takenAt: rows[0]!.now.toISOString() };
}

/** Agents trust the key in the folder, and the database has the certificate that belongs to it. */
async function requireOneControlPlane(
  client: pg.Client,
  files: readonly DataFile[],
): Promise<void> {
  const own = files.find((file) => file.path === 'ca/ca.crt');
  const { rows } = await client.query<{ certificate: Buffer }>(
    'select certificate from certificate_authority',
  );
  const stored = rows[0]?.certificate;
  if (own === undefined || stored === undefined) return;
  if (!new X509Certificate(own.content).raw.equals(stored)) {
    throw new MismatchError(
      'the data folder and the database belong to different control planes: their CA keys differ',
    );
  }
}

async function* encode(
  client: pg.Client,
  {
    about,
    files,
    tables,
  }: { about: About; files: DataFile[]; tables: Awaited<ReturnType<typeof listTables>> },
): AsyncGenerator<Buffer> {
  const writer = new FrameWriter();
  yield writer.describe({ kind: 'backup', ...about });
  for (const { path: place, mode, content } of files) {
    yield writer.describe({ kind: 'file', path: place, mode });
    yield* pieces(writer, content);
  }
  for (const table of tables) {
    yield writer.describe({ kind: 'table', ...table });
    for await (const rows of copyOut(client, copyOutStatement(table))) {
      yield* pieces(writer, rows);
    }
  }
  yield writer.describe({ kind: 'sequences', values: await readSequences(client) });
  yield writer.end();
}

function* pieces(writer: FrameWriter, bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += DATA_MAX_BYTES) {
    yield writer.data(bytes.subarray(at, at + DATA_MAX_BYTES));
  }
}

/** Throws BackupExistsError when something has the name already. */
async function writeWhole(
  file: string,
  content: AsyncIterable<Buffer>,
): Promise<{ bytes: number; digest: string }> {
  const draft = `${file}.partial`;
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const handle = await open(draft, 'w', 0o600);
    try {
      for await (const chunk of content) {
        await handle.writeFile(chunk);
        hash.update(chunk);
        bytes += chunk.length;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Unlike a rename, a link replaces nothing.
    await link(draft, file).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EEXIST' ? new BackupExistsError(`${file} is there already`) : error;
    });
  } finally {
    await rm(draft, { force: true });
  }
  syncFolder(path.dirname(file));
  return { bytes, digest: `sha256:${hash.digest('hex')}` };
}
