import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { recordRead } from '../audit/record-read.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import type { HttpApp, HttpEnvironment } from '../http/environment.ts';
import { bearer, errorResponses, refParams } from '../http/route.ts';
import { lastEventId, respondWithBytes, respondWithEvents } from '../http/stream.ts';
import type { ServerSentEvent } from '../http/stream.ts';
import { SpoolFormatError } from '../../proto/spool/record.ts';
import type { Job } from '../jobs/job-store.ts';
import { isFinal } from '../jobs/job-states.ts';
import { LogText } from './log-events.ts';
import type { LogLine, ReadChannel } from './log-events.ts';
import { readLog } from './log-reader.ts';
import { placeRecords } from './log-records.ts';
import type { LineStart } from './log-records.ts';
import { findTail } from './log-start.ts';
import type { LogSource } from './log-start.ts';
import type { JobsService } from '../jobs/jobs-service.ts';

export const LOG_MEDIA_TYPE = 'application/vnd.intervene.log';

export interface LogRoutesOptions extends LogSource {
  database: Database;
  jobs: Pick<JobsService, 'resolve' | 'wait' | 'progress'>;
}

const query = z.object({
  offset: z.coerce.number().int().min(0).optional().describe('of a record, in the encoded log'),
  tail: z.coerce
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .optional()
    .describe('only so many last lines'),
  follow: z
    .enum(['true', 'false', '1', '0'])
    .default('false')
    .transform((word) => word === 'true' || word === '1')
    .describe('go on until the job has ended'),
  channel: z.enum(['out', 'err', 'note']).optional(),
});
type LogQuery = z.output<typeof query>;

/**
 * The log of a job: as the agent encoded it (offsets count its bytes, and whoever knows how many they have
 * goes on from there), as events, or as JSON lines.
 */
export function registerLogRoutes(app: HttpApp, options: LogRoutesOptions): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/jobs/{ref}/log',
      tags: ['jobs'],
      summary: 'The log of a job',
      description:
        'Records as the agent encoded them, server-sent events (`log`, `gap`, `progress`, `state`, `end`; ' +
        'the id is the offset to go on from), or JSON lines, as `Accept` says.',
      security: bearer,
      request: { params: refParams, query },
      responses: {
        ...errorResponses,
        200: {
          description: 'the log; `Intervene-Log-Offset` is where it begins',
          content: {
            [LOG_MEDIA_TYPE]: { schema: z.string().openapi({ format: 'binary' }) },
            'text/event-stream': { schema: z.string() },
            'application/x-ndjson': { schema: z.string() },
          },
        },
      },
    }),
    async (c) => {
      const caller = c.get('caller');
      const job = await options.jobs.resolve(caller, c.req.valid('param').ref);
      await recordRead(options.database, caller, {
        kind: 'log.read',
        subject: job.id,
        chain: `intervention:${job.interventionId}`,
        accountId: job.accountId,
        content: { job: job.id },
      });
      const wanted = c.req.valid('query');
      const format = formatOf(c.req.header('accept'));
      const from = await startOf(c, job, wanted);
      c.header('Intervene-Log-Offset', String(from.offset));
      if (format === 'raw') {
        requireWhole(wanted);
        c.header('Intervene-Log-Skip-Lines', String(from.linesToSkip));
        return respondWithBytes(c, LOG_MEDIA_TYPE, (signal) =>
          raw(job, from, wanted, signal),
        ) as never;
      }
      if (format === 'events') {
        return respondWithEvents(c, (signal) => events(job, from, wanted, signal)) as never;
      }
      // Events can still say so later; lines would only break off.
      await requireRecord(job, from, wanted, c.req.raw.signal);
      return respondWithBytes(c, 'application/x-ndjson', (signal) =>
        jsonLines(job, from, wanted, signal),
      ) as never;
    },
  );

  async function startOf(
    c: Context<HttpEnvironment>,
    job: Job,
    { offset, tail }: LogQuery,
  ): Promise<LineStart> {
    const seen = lastEventId(c);
    if (seen !== undefined && /^\d{1,15}$/.test(seen))
      return { offset: Number(seen), linesToSkip: 0 };
    if (offset !== undefined) return { offset, linesToSkip: 0 };
    if (tail !== undefined) return findTail(options, job.id, tail, c.req.raw.signal);
    return { offset: 0, linesToSkip: 0 };
  }

  function parts(job: Job, from: LineStart, { follow }: LogQuery, signal: AbortSignal) {
    const { queries, bus, uploads } = options;
    return readLog({ queries, bus, uploads, jobId: job.id, offset: from.offset, follow, signal });
  }

  /** Throws DomainError `not_a_record` where the log cannot be read from. */
  async function requireRecord(
    job: Job,
    from: LineStart,
    wanted: LogQuery,
    signal: AbortSignal,
  ): Promise<void> {
    if (from.offset === 0) return;
    try {
      const stored = parts(job, from, { ...wanted, follow: false }, signal);
      for await (const _ of placeRecords(stored, from.offset)) return;
    } catch (error) {
      if (!(error instanceof SpoolFormatError)) throw error;
      throw new DomainError('invalid', 'not_a_record', 'No record of the log begins there.');
    }
  }

  async function* raw(job: Job, from: LineStart, wanted: LogQuery, signal: AbortSignal) {
    for await (const part of parts(job, from, wanted, signal)) {
      if (part.type === 'bytes') yield part.bytes;
    }
  }

  /** Lines of the wanted channel; null where nothing more is there yet. */
  async function* lines(
    job: Job,
    from: LineStart,
    wanted: LogQuery,
    signal: AbortSignal,
  ): AsyncGenerator<LogLine | null> {
    const text = new LogText();
    let end = from.offset;
    for await (const entry of placeRecords(parts(job, from, wanted, signal), from.offset)) {
      if (entry.type === 'waiting') {
        yield null;
        continue;
      }
      const line = text.read(entry, entry.offset === from.offset ? from.linesToSkip : 0);
      end = line.next;
      if (isWanted(line, wanted.channel)) yield line;
    }
    const lost = signal.aborted ? null : await lostEnd(job, end);
    if (lost !== null) yield lost;
  }

  /** What the agent said belongs to the log and is not stored here; null when nothing is missing. */
  async function lostEnd(job: Job, end: number): Promise<LogLine | null> {
    const now = { ms: 0, signal: AbortSignal.abort() };
    const { state, endedAt, logLength, logOffset } = await options.jobs.wait(job, now);
    const isLost = isFinal(state) && logLength !== null && logOffset < logLength && end < logLength;
    if (!isLost) return null;
    const gap = { missingBytes: logLength - end, missingLines: 0 };
    const time = (endedAt ?? new Date()).toISOString();
    return { offset: end, next: logLength, time, channel: 'gap', gap };
  }

  async function* jsonLines(job: Job, from: LineStart, wanted: LogQuery, signal: AbortSignal) {
    for await (const line of lines(job, from, wanted, signal)) {
      if (line !== null) yield Buffer.from(`${JSON.stringify(line)}\n`);
    }
  }

  async function* events(
    job: Job,
    from: LineStart,
    wanted: LogQuery,
    signal: AbortSignal,
  ): AsyncGenerator<ServerSentEvent> {
    const state = new StateEvents(options, job);
    try {
      yield* state.news();
      for await (const line of lines(job, from, wanted, signal)) {
        if (line === null) yield* state.news();
        else yield lineEvent(line);
      }
      if (wanted.follow && !signal.aborted) {
        yield* state.news(true);
        yield* state.end();
      }
    } catch (error) {
      if (!(error instanceof SpoolFormatError)) throw error;
      const problem = {
        code: 'not_a_record',
        happened: 'The log cannot be read from this offset.',
      };
      yield { event: 'error', data: JSON.stringify(problem) };
    } finally {
      state.close();
    }
  }
}

function lineEvent(line: LogLine): ServerSentEvent {
  return {
    event: line.channel === 'gap' ? 'gap' : 'log',
    data: JSON.stringify(line),
    id: String(line.next),
  };
}

/** What a follower of a log is told of its job, when it changed. */
class StateEvents {
  private readonly options: LogRoutesOptions;
  private readonly job: Job;
  private readonly stopListening: () => void;
  private isStale = true;
  private shownState: string | null = null;
  private shownProgress: unknown = null;

  constructor(options: LogRoutesOptions, job: Job) {
    this.options = options;
    this.job = job;
    this.stopListening = options.bus.subscribe('job', job.id, () => (this.isStale = true));
  }

  async *news(mustLook = false): AsyncGenerator<ServerSentEvent> {
    if (!this.isStale && !mustLook) return;
    this.isStale = false;
    const progress = this.options.jobs.progress(this.job.id);
    if (progress !== null && progress !== this.shownProgress) {
      this.shownProgress = progress;
      yield { event: 'progress', data: JSON.stringify(progress) };
    }
    const { state, reason, detail } = await this.latest();
    if (state !== this.shownState) {
      this.shownState = state;
      yield { event: 'state', data: JSON.stringify({ state, reason, detail }) };
    }
  }

  async *end(): AsyncGenerator<ServerSentEvent> {
    const job = await this.latest();
    if (!isFinal(job.state)) return;
    const { state, reason, detail, exitStatus } = job;
    const log = { bytes: job.logLength, digest: job.logDigest, verified: job.logVerified };
    yield { event: 'end', data: JSON.stringify({ state, reason, detail, exitStatus, log }) };
  }

  close(): void {
    this.stopListening();
  }

  private latest(): Promise<Job> {
    return this.options.jobs.wait(this.job, { ms: 0, signal: AbortSignal.abort() });
  }
}

function isWanted(line: LogLine, channel: ReadChannel | undefined): boolean {
  return channel === undefined || line.channel === channel || line.channel === 'gap';
}

function formatOf(accept: string | undefined): 'raw' | 'events' | 'lines' {
  if (accept?.includes('text/event-stream')) return 'events';
  return accept?.includes(LOG_MEDIA_TYPE) ? 'raw' : 'lines';
}

function requireWhole({ channel }: LogQuery): void {
  if (channel === undefined) return;
  throw new DomainError(
    'invalid',
    'channel_needs_text',
    'The encoded log is given whole; channels can be chosen for events and JSON lines.',
  );
}
