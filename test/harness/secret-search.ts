import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { pino } from 'pino';
import { openSource } from '../../control-plane/backup/database-access.ts';

/**
 * Every way in which a secret may lie somewhere: as it is, in the two encodings that V8 keeps text in, as JSON, hex,
 * base64 wherever it begins in a group of three bytes, and percent-encoded.
 */
export function formsOf(secret: string): Buffer[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const texts = [
    secret,
    JSON.stringify(secret).slice(1, -1),
    hex,
    hex.toUpperCase(),
    encodeURIComponent(secret),
    ...(['base64', 'base64url'] as const).flatMap((encoding) =>
      [0, 1, 2].map((before) => {
        const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString(encoding);
        // What lies at both ends depends on its neighbours.
        return encoded.slice(before === 0 ? 0 : 4, -4);
      }),
    ),
  ];
  const distinct = [...new Set(texts)];
  return distinct.flatMap((text) => [
    Buffer.from(text),
    Buffer.from(text, 'utf16le'),
    ...(isLatin1(text) ? [Buffer.from(text, 'latin1')] : []),
  ]);
}

const isLatin1 = (text: string) => Buffer.from(text, 'latin1').toString('latin1') === text;

const isIn = (bytes: Buffer, forms: readonly Buffer[]) =>
  forms.some((form) => bytes.includes(form));

/** Files below these places that hold one of the forms. */
export function filesWith(places: readonly string[], forms: readonly Buffer[]): string[] {
  return places.flatMap((place) => {
    const entries = readdirSync(place, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .filter((file) => isIn(readOrNothing(file), forms));
  });
}

function readOrNothing(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    // Files of programs that run come and go.
    return Buffer.alloc(0);
  }
}

/** Tables with a row that holds one of the forms, in any column: as text, as bytes, and unpacked. */
export async function tablesWith(data: string, forms: readonly Buffer[]): Promise<string[]> {
  const { client, close } = await openSource({
    data,
    databaseUrl: null,
    log: pino({ level: 'silent' }),
  });
  try {
    const tables = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    );
    const found: string[] = [];
    for (const { name } of tables.rows) {
      const { rows } = await client.query<unknown[]>({
        text: `select t.*, t::text from ${name} t`,
        rowMode: 'array',
      });
      const holds = rows.some((row) => row.some((value) => isIn(bytesOf(value), forms)));
      if (holds) found.push(name);
    }
    return found;
  } finally {
    await close();
  }
}

function bytesOf(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return Buffer.concat([value, unpacked(value)]);
  if (typeof value === 'string') return Buffer.from(value);
  return Buffer.from(JSON.stringify(value) ?? '');
}

/** Chunks of logs are compressed. */
function unpacked(value: Buffer): Buffer {
  try {
    return zlib.zstdDecompressSync(value);
  } catch {
    return Buffer.alloc(0);
  }
}

const PIECE_BYTES = 4 * 1024 * 1024;

/** Whether the memory that a process can write to holds one of the forms now. */
export function memoryHolds(pid: number, forms: readonly Buffer[]): boolean {
  const overlap = Math.max(...forms.map((form) => form.length)) - 1;
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const range = /^([0-9a-f]+)-([0-9a-f]+) .w/.exec(line);
      if (range === null) continue;
      const [start, end] = [Number.parseInt(range[1]!, 16), Number.parseInt(range[2]!, 16)];
      for (let at = start; at < end; at += PIECE_BYTES) {
        const piece = Buffer.alloc(Math.min(PIECE_BYTES + overlap, end - at));
        if (isIn(piece.subarray(0, readMemory(memory, piece, at)), forms)) return true;
      }
    }
    return false;
  } finally {
    closeSync(memory);
  }
}

/** A mapping may be gone, or not be readable although it is mapped. */
function readMemory(memory: number, piece: Buffer, at: number): number {
  try {
    return readSync(memory, piece, 0, piece.length, at);
  } catch {
    return 0;
  }
}

/** Arguments and environments of every process of this machine, those in containers too, as long as it looks. */
export class ProcessWatch {
  private readonly seen = new Set<string>();
  private readonly timer = setInterval(() => this.look(), 1);

  look(): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      for (const file of ['cmdline', 'environ']) {
        this.seen.add(readOrNothing(`/proc/${pid}/${file}`).toString('latin1'));
      }
    }
  }

  /** What held one of the forms. */
  stop(): (forms: readonly Buffer[]) => string[] {
    clearInterval(this.timer);
    return (forms) => [...this.seen].filter((text) => isIn(Buffer.from(text, 'latin1'), forms));
  }
}
