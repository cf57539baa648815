import type { Bus } from '../cluster/bus.ts';
import { createWaker } from '../cluster/waker.ts';
import type { Queries } from '../database/database.ts';
import { findLogPosition, readChunks } from './log-store.ts';
import type { LogPosition } from './log-store.ts';
import type { LogUploads } from './log-uploads.ts';

const CHUNKS_AT_ONCE = 16;
/** Wake-ups may be lost; a follower looks by itself so often. */
const POLL_MS = 5_000;

export interface ReadLogOptions {
  queries: Queries;
  bus: Bus;
  uploads: LogUploads;
  jobId: string;
  /** First byte wanted, of the encoded log. */
  offset: number;
  /** Goes on until the job has ended and everything was read. */
  follow: boolean;
  signal: AbortSignal;
}

/** What a reader of a log is given: bytes as they lie, or the news that nothing more is there yet. */
export type LogPart = { type: 'bytes'; offset: number; bytes: Buffer } | { type: 'waiting' };

/** Thrown when stored chunks do not make up the log the job's row speaks of. */
export class LogDamagedError extends Error {
  override name = 'LogDamagedError';
}

/**
 * Reads a job's encoded log from `offset` on, without gaps or repetition. Newest bytes come from memory before
 * they are committed; a reader that is slower than the log falls back to the database, so that nothing
 * piles up for it. Ends when there is nothing more to come, or on abort.
 */
export async function* readLog(options: ReadLogOptions): AsyncGenerator<LogPart> {
  const { queries, bus, uploads, jobId, follow, signal } = options;
  const waker = createWaker(bus, [
    { topic: 'log', id: jobId },
    { topic: 'job', id: jobId },
  ]);
  let mustLook = true;
  const stopListening = bus.subscribe('job', jobId, () => (mustLook = true));
  let offset = options.offset;
  let position: LogPosition | null = null;
  try {
    while (!signal.aborted) {
      waker.prepare();
      const live = uploads.tail(jobId)?.read(offset) ?? [];
      for (const bytes of live) {
        yield { type: 'bytes', offset, bytes };
        offset += bytes.length;
      }
      if (live.length > 0) continue;
      const isCaughtUp = offset >= (position?.offset ?? 0);
      // While somebody writes here and the reader has it all, the database knows nothing more.
      if (isCaughtUp && (mustLook || offset !== uploads.tail(jobId)?.end)) {
        mustLook = false;
        position = await findLogPosition(queries, jobId);
        if (position === null) return;
      }
      if (position !== null && offset < position.offset) {
        for await (const part of readStored(queries, position, offset)) {
          yield part;
          offset += part.bytes.length;
        }
        continue;
      }
      if (!follow || position?.ended) return;
      yield { type: 'waiting' };
      if (!(await waker.wait(POLL_MS, signal))) mustLook = true;
    }
  } finally {
    stopListening();
    waker.close();
  }
}

async function* readStored(queries: Queries, position: LogPosition, from: number) {
  let offset = from;
  const chunks = await readChunks(queries, position, offset, CHUNKS_AT_ONCE);
  if (chunks.length === 0) throw new LogDamagedError(`no chunk holds byte ${offset}`);
  for (const chunk of chunks) {
    if (chunk.offset > offset) throw new LogDamagedError(`no chunk holds byte ${offset}`);
    const bytes = chunk.bytes.subarray(offset - chunk.offset);
    yield { type: 'bytes', offset, bytes } as const;
    offset += bytes.length;
  }
}
