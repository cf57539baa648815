import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { shell } from '../../../proto/documents/command-text.ts';
import { RecordDecoder, SpoolFormatError } from '../../../proto/spool/record.ts';
import type { LogRecord } from '../../../proto/spool/record.ts';
import { CliError, UnreachableError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import { isFinal } from '../output/job-states.ts';
import { reference } from './api-client.ts';
import type { ApiClient } from './api-client.ts';
import type { JobBody } from './bodies.ts';
import { ResponseError } from './response-error.ts';

const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 5000;
/** A stream that is quiet for this long is asked after: a connection may die without a word. */
const QUIET_MS = 5000;
const LOG_TYPE = 'application/vnd.intervene.log';

/** Where to begin: a byte of the encoded log at which a record begins, or so many lines before its end. */
export type LogStart = { offset: number } | { tail: number };

export interface FollowLogOptions {
  /** Id or number of the job. */
  job: string;
  from: LogStart;
  /** False: end at what is stored now. */
  follow: boolean;
  /** Called with every record, once, in order; the next ones wait for it. */
  onRecords: (records: LogRecord[]) => Promise<void>;
  /** Called with every byte of the encoded log, once, in order. */
  onBytes?: (bytes: Buffer) => void;
  /** The connection is gone; it is tried again until `giveUpAt`. */
  onLost?: (error: Error) => void;
  onBack?: () => void;
  /** Milliseconds since 1970 after which a control plane that does not answer is given up. */
  giveUpAt: () => number;
  now: () => number;
  signal: AbortSignal;
}

export interface FollowedLog {
  job: JobBody;
  /** The first byte that was asked for. */
  begin: number;
  /** The first byte that was not received. */
  offset: number;
  /** Bytes of the job's log that could not be had, though the job has ended. */
  missingBytes: number;
}

/**
 * Follows the log of a job to its end, through restarts of the control plane and cut connections: every
 * byte is handed out exactly once. Resolves when the job is in a final state and its log was read, or, when
 * not following, at the end of what is stored.
 */
export async function followLog(api: ApiClient, options: FollowLogOptions): Promise<FollowedLog> {
  const decoder = new RecordDecoder();
  let begin = 'offset' in options.from ? options.from.offset : null;
  let offset = begin ?? 0;
  let linesToSkip = 0;
  let failures = 0;
  let emptyRounds = 0;
  let lost = false;
  for (;;) {
    try {
      const before = offset;
      await readStream();
      const job = await api.get<JobBody>(`/api/v1/jobs/${reference(options.job)}`);
      back();
      const end = job.log.bytes ?? job.log.committedBytes;
      // Of an ended job all that is stored has been read: what its agent speaks of besides is lost.
      if (!options.follow) return ended(job, isFinal(job.state) ? Math.max(0, end - offset) : 0);
      if (isFinal(job.state)) {
        // A complete answer without a new byte, after the job's end: there is no more to be had.
        if (offset >= end || offset === before) {
          return ended(job, Math.max(0, end - offset));
        }
      }
      if (offset > before) emptyRounds = 0;
      else await pause(retryDelay(emptyRounds++));
    } catch (error) {
      options.signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      if (!lost) options.onLost?.(error as Error);
      lost = true;
      if (options.now() > options.giveUpAt()) throw gaveUp(options.job, error);
      await pause(retryDelay(failures++));
    }
  }

  function ended(job: JobBody, missingBytes: number): FollowedLog {
    return { job, begin: begin ?? 0, offset, missingBytes };
  }

  async function readStream(): Promise<void> {
    const cut = new AbortController();
    const signal = AbortSignal.any([options.signal, cut.signal]);
    const path = `/api/v1/jobs/${reference(options.job)}/log`;
    const start = begin === null && 'tail' in options.from ? options.from : { offset };
    const query = { ...start, follow: options.follow ? 'true' : 'false' };
    const response = await api.open(path, query, LOG_TYPE, signal);
    if (begin === null) {
      begin = readCount(response, 'intervene-log-offset');
      offset = begin;
      linesToSkip = readCount(response, 'intervene-log-skip-lines');
    }
    response.socket.setKeepAlive(true, 10_000);
    back();
    const watch = watchQuietStream(cut);
    let isOurs = false;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        watch.heard();
        isOurs = true;
        const records = decode(chunk);
        offset += chunk.length;
        options.onBytes?.(chunk);
        const wanted = linesToSkip > 0 ? records.flatMap(skipLines) : records;
        if (wanted.length > 0) await options.onRecords(wanted);
        isOurs = false;
      }
    } catch (cause) {
      if (isOurs) throw cause;
      throw new UnreachableError(api.url, cause);
    } finally {
      watch.stop();
    }
    if (!response.complete) throw new UnreachableError(api.url, new Error('the stream was cut'));
  }

  function decode(chunk: Buffer): LogRecord[] {
    try {
      return [...decoder.push(chunk)];
    } catch (cause) {
      if (!(cause instanceof SpoolFormatError)) throw cause;
      throw new CliError({
        code: 'log_damaged',
        happened: `What came from byte ${offset} of the log is no log record.`,
        safe: 'The job is not touched by this; its log is kept on the server until it is stored whole.',
        next: [{ label: 'read it again', command: shell`intervene logs ${options.job}` }],
        exitStatus: exitStatus.failed,
        cause,
      });
    }
  }

  /** A record without the lines that stand before those that were asked for. */
  function skipLines(record: LogRecord): LogRecord[] {
    if (linesToSkip === 0 || record.channel === 'gap') return [record];
    if (record.channel === 'note') return [];
    let at = 0;
    while (linesToSkip > 0) {
      const end = record.payload.indexOf(10, at);
      if (end === -1) return [];
      at = end + 1;
      linesToSkip--;
    }
    return at === record.payload.length
      ? []
      : [{ ...record, payload: record.payload.subarray(at) }];
  }

  /** Cuts a stream whose other end does not answer any more, so that it is opened again. */
  function watchQuietStream(cut: AbortController): { heard: () => void; stop: () => void } {
    let lastHeard = options.now();
    let asking = false;
    const timer = setInterval(() => {
      if (asking || options.now() - lastHeard < QUIET_MS) return;
      asking = true;
      api
        .get<JobBody>(`/api/v1/jobs/${reference(options.job)}`)
        .then((job) => {
          const isOver = isFinal(job.state) && offset < (job.log.bytes ?? 0);
          if (isOver && options.now() - lastHeard >= QUIET_MS) cut.abort();
        })
        .catch(() => cut.abort())
        .finally(() => {
          asking = false;
          lastHeard = options.now();
        });
    }, QUIET_MS / 5);
    timer.unref();
    return {
      heard: () => {
        lastHeard = options.now();
      },
      stop: () => clearInterval(timer),
    };
  }

  function back(): void {
    failures = 0;
    if (lost) options.onBack?.();
    lost = false;
  }

  function pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: options.signal });
  }
}

function readCount(response: IncomingMessage, header: string): number {
  const value = Number(response.headers[header] ?? 0);
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

/** Half to all of a doubling window, so that many followers do not come back in step. */
function retryDelay(failures: number): number {
  const window = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** Math.min(failures, 10));
  return window / 2 + (Math.random() * window) / 2;
}

function isPassing(error: unknown): boolean {
  if (error instanceof UnreachableError) return true;
  return error instanceof ResponseError && error.isPassing;
}

function gaveUp(job: string, cause: unknown): CliError {
  return new CliError({
    code: 'outcome_unknown',
    happened: `The control plane did not answer for as long as job ${job} may run; how it ended is not known.`,
    safe: 'The job went on by itself; its agent keeps the result until it can hand it over.',
    next: [{ label: 'when the control plane is back', command: shell`intervene jobs show ${job}` }],
    exitStatus: exitStatus.unreachable,
    cause,
  });
}
