import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { shell } from '../../../proto/documents/command-text.ts';
import { terminalOpen } from '../../../proto/actions/terminal.ts';
import { findAction } from '../../../proto/actions/catalogue.ts';
import type { JobBody } from '../api/bodies.ts';
import { followLog } from '../api/follow-log.ts';
import type { FollowedLog, LogStart } from '../api/follow-log.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { fileUnwritable } from '../named-file.ts';
import { followJob } from '../jobs/follow-job.ts';
import { JsonLogView, TextLogView } from '../jobs/log-view.ts';
import { RecordedScreenView } from '../jobs/recorded-screen.ts';
import type { LogView, ProgramChannel } from '../jobs/log-view.ts';
import { reportOutcome } from '../jobs/outcome-card.ts';
import { fetchOrder, wordsOfOrder } from '../jobs/stored-order.ts';
import { isFinal } from '../output/job-states.ts';
import { openPager } from '../output/pager.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatBytes, formatCount } from '../output/time-text.ts';
import { getJob } from './jobs.ts';

export interface LogsOptions {
  follow?: boolean;
  tail?: string;
  sinceOffset?: number;
  channel?: ProgramChannel[];
  raw?: boolean;
  pager?: boolean;
  save?: string;
}

const TAIL_ON_TERMINAL = 20;
const TAIL_MOST = 1_000_000;
/** A job that does not say how long it may run is followed for at least this long. */
const RUNTIME_MOST_SECONDS = 7 * 24 * 3600;

/** `intervene logs JOB`: the log of a job; of a running one, as it comes. */
export async function logs(
  context: CommandContext,
  [named = '']: string[],
  options: LogsOptions,
): Promise<number> {
  const { terminal } = context;
  if (options.raw && (terminal.outIsTty || terminal.json)) {
    throw usageError(
      '--raw gives bytes as the server wrote them; they go into a pipe or a file, never to a terminal.',
      [{ label: '', command: shell`intervene logs ${named} --raw > FILE` }],
    );
  }
  const api = await context.api();
  const job = await getJob(api, named);
  if (options.save !== undefined) return saveLog(context, job, options.save);
  const follow = options.follow ?? (terminal.outIsTty && !isFinal(job.state));
  const tail = readTail(options.tail, terminal.outIsTty && follow);
  if (tail !== null && options.sinceOffset !== undefined) {
    throw usageError('--tail and --since-offset both say where to begin; one is enough.');
  }
  const from: LogStart = tail === null ? { offset: options.sinceOffset ?? 0 } : { tail };
  if (!follow) return printStored(context, job, from, options);

  if (terminal.talkIsTty && !terminal.json && !isFinal(job.state)) {
    const shown =
      tail === null || job.log.lines <= tail
        ? ''
        : ` · last ${tail} of ${formatCount(job.log.lines, 'line')} (--tail all)`;
    terminal.say(`Following ${job.name}${shown} · Ctrl-C is safe`);
  }
  const ordered = wordsOfOrder(await fetchOrder(api, job.id));
  const followed = await followJob(context, job, {
    view: viewFor(context, job, options),
    from,
    steps: findAction(job.action)?.plans === true && job.mode !== 'plan',
    maxRuntimeSeconds: RUNTIME_MOST_SECONDS,
  });
  return reportOutcome(context, followed, ordered);
}

async function printStored(
  context: CommandContext,
  job: JobBody,
  from: LogStart,
  options: LogsOptions,
): Promise<number> {
  const { terminal } = context;
  const pages = terminal.outIsTty && options.pager !== false && !terminal.json;
  const pager = pages ? openPager(context.surroundings) : null;
  const view = viewFor(context, job, options, pager?.write);
  const read = await readStored(context, job, view, from);
  await view.finish(read.job);
  await pager?.end();
  if (terminal.json) {
    const { missingBytes } = read;
    const followed = { job: read.job, missingBytes, surplusBytes: 0, digest: null };
    await reportOutcome(context, followed, { ticket: '', words: [] });
  } else if (read.missingBytes > 0) {
    const lost = formatBytes(read.missingBytes);
    terminal.say(styled('warn', `··· gap: the last ${lost} of this log are not kept ···`));
  } else if (!isFinal(read.job.state)) {
    terminal.sayNext(shell`intervene logs ${job.name} --follow`, { after: 'The job goes on.' });
  }
  return exitStatus.succeeded;
}

function viewFor(
  context: CommandContext,
  job: JobBody,
  options: LogsOptions,
  write?: (text: string) => Promise<void>,
): LogView {
  const { terminal } = context;
  const channels = new Set<ProgramChannel>(options.channel ?? ['out', 'err', 'note']);
  if (terminal.json) return new JsonLogView(terminal, job.id, channels);
  // Off a terminal, notes of the runner are said to the person; whoever asks for them gets them as data.
  const notesAreTalk = !terminal.outIsTty && options.channel === undefined;
  const view = new TextLogView(terminal, {
    channels,
    talk: new Set(notesAreTalk ? ['note'] : []),
    raw: options.raw === true,
    ...(write && { sink: write }),
  });
  // Its log is a recording; --raw gives that, for a player.
  const isRecording = job.action === terminalOpen.id && options.raw !== true;
  return isRecording ? new RecordedScreenView(view) : view;
}

async function readStored(
  context: CommandContext,
  job: JobBody,
  view: LogView,
  from: LogStart,
  onBytes?: (bytes: Buffer) => void,
): Promise<FollowedLog> {
  return followLog(await context.api(), {
    job: job.id,
    from,
    follow: false,
    onRecords: (records) => view.take(records),
    ...(onBytes && { onBytes }),
    giveUpAt: () => 0,
    now: () => context.surroundings.now(),
    signal: new AbortController().signal,
  });
}

/** `--save FILE`: the encoded log, whose digest the agent signed, for `verify --log`. */
async function saveLog(context: CommandContext, job: JobBody, path: string): Promise<number> {
  const { terminal } = context;
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  await once(file, 'open').catch((error: unknown) => {
    throw fileUnwritable(path, error);
  });
  const hash = createHash('sha256');
  const writing: LogView = {
    unfinishedLine: '',
    take: async () => {
      if (file.writableNeedDrain) await once(file, 'drain');
    },
    finish: async () => {},
  };
  const read = await readStored(context, job, writing, { offset: 0 }, (bytes) => {
    hash.update(bytes);
    file.write(bytes);
  });
  file.end();
  await once(file, 'close');
  const digest = `sha256:${hash.digest('hex')}`;
  if (terminal.json) {
    terminal.printJson({ file: path, bytes: read.offset, digest, signed: read.job.log.digest });
  } else {
    terminal.say(glyph('ok', '✓'), `${formatBytes(read.offset)} in ${path}, ${digest}`);
  }
  if (read.job.log.digest !== null && read.job.log.digest !== digest) {
    throw new CliError({
      code: 'log_differs',
      happened: `The log that came (${digest}) is not the one the agent signed (${read.job.log.digest}).`,
      safe: `What came is in ${path}.`,
    });
  }
  return exitStatus.succeeded;
}

function readTail(text: string | undefined, isDefaulted: boolean): number | null {
  if (text === undefined) return isDefaulted ? TAIL_ON_TERMINAL : null;
  if (text === 'all') return null;
  const lines = /^\d{1,7}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(lines) || lines > TAIL_MOST) {
    throw usageError(`--tail ${text}: a number of lines, or all.`);
  }
  return lines;
}
