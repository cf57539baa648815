import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'hono';
import type { HttpEnvironment } from './environment.ts';

/** One event of an event stream (HTML Living Standard, section 9.2). */
export interface ServerSentEvent {
  event: string;
  data: string;
  /** Comes back as `Last-Event-ID` when the reader connects again. */
  id?: string;
}

/** Makes what is streamed; ends when `signal` is aborted: the reader left, or the server stops. */
export type Source<T> = (signal: AbortSignal) => AsyncIterable<T>;

const KEEP_ALIVE_MS = 15_000;
const KEEP_ALIVE = Buffer.from(':\n\n');

/**
 * Answers with an event stream. The source is asked for the next event when the reader has taken the one
 * before, so a slow reader slows the source and nothing piles up. A comment keeps quiet streams alive.
 */
export function respondWithEvents(
  c: Context<HttpEnvironment>,
  source: Source<ServerSentEvent>,
): Response {
  const encoded: Source<Uint8Array> = (signal) => encodeEvents(source(signal));
  return respondWithBytes(c, 'text/event-stream; charset=utf-8', encoded, KEEP_ALIVE);
}

/** The id of the last event the reader has seen, when it connects again. */
export function lastEventId(c: Context<HttpEnvironment>): string | undefined {
  const id = c.req.header('last-event-id');
  return id === undefined || id.length > 100 ? undefined : id;
}

/**
 * Answers with bytes as they come. When the source fails, or the server stops before the source has
 * ended, the connection is cut: a reader can tell a whole answer from one that was cut off.
 *
 * @param keepAlive sent when nothing else was for 15 s
 */
export function respondWithBytes(
  c: Context<HttpEnvironment>,
  contentType: string,
  source: Source<Uint8Array>,
  keepAlive?: Uint8Array,
): Response {
  const reader = new AbortController();
  const closing = c.get('closing');
  const signal = AbortSignal.any([reader.signal, closing]);
  const iterator = source(signal)[Symbol.asyncIterator]();
  let pending: Promise<IteratorResult<Uint8Array>> | undefined;

  const stream = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          pending ??= iterator.next();
          const result = keepAlive ? await unlessQuiet(pending) : await pending;
          if (result === undefined) return controller.enqueue(keepAlive!);
          pending = undefined;
          if (!result.done) return controller.enqueue(result.value);
          if (closing.aborted) return cut(c, controller);
          controller.close();
        } catch (error) {
          if (!signal.aborted) c.get('log').warn({ err: error }, 'a stream failed');
          cut(c, controller);
        }
      },
      cancel: async () => {
        reader.abort();
        await iterator.return?.().catch(() => {});
      },
    },
    { highWaterMark: 0 },
  );
  return c.body(stream, 200, {
    'Content-Type': contentType,
    'Transfer-Encoding': 'chunked',
    // Proxies would hold events back.
    'X-Accel-Buffering': 'no',
  });
}

/** The next result, or undefined when it takes so long that a sign of life is due. */
async function unlessQuiet<T>(pending: Promise<T>): Promise<T | undefined> {
  const waiting = new AbortController();
  const quiet = sleep(KEEP_ALIVE_MS, undefined, { signal: waiting.signal }).catch(() => undefined);
  try {
    return await Promise.race([pending, quiet]);
  } finally {
    waiting.abort();
  }
}

/** Without a connection (a test calls the app itself) the stream fails instead. */
function cut(c: Context<HttpEnvironment>, controller: ReadableStreamDefaultController): void {
  const { outgoing } = c.env ?? {};
  if (outgoing === undefined) controller.error(new Error('the stream was cut off'));
  else outgoing.destroy();
}

async function* encodeEvents(events: AsyncIterable<ServerSentEvent>): AsyncIterable<Uint8Array> {
  for await (const { event, data, id } of events) {
    const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
    const head = `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\n`;
    yield Buffer.from(`${head}${lines.join('')}\n`);
  }
}
