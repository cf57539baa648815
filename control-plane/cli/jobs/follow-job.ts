import { createHash } from 'node:crypto';
import { shell } from '../../../proto/documents/command-text.ts';
import { reference } from '../api/api-client.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { JobBody, JobEventBody, ServerBody } from '../api/bodies.ts';
import { followLog } from '../api/follow-log.ts';
import type { LogStart } from '../api/follow-log.ts';
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { StatusLine } from '../output/status-line.ts';
import { glyph } from '../output/terminal.ts';
import { formatClock, formatCount } from '../output/time-text.ts';
import type { Interlude } from './confirm-job.ts';
import type { LogView } from './log-view.ts';
import { ProgressView } from './progress-view.ts';

const FIRST_LOOK_MS = 400;
const LOOK_MS = 1000;
/** A job without a new byte for this long is asked after at its server. */
const SILENCE_MS = 15_000;
/** On top of what the order allows: the agent may be cut off and hand over the end much later. */
const GRACE_MS = 15 * 60_000;

export interface FollowJobOptions {
  view: LogView;
  from: LogStart;
  /** Whether journal steps are shown. */
  steps: boolean;
  /** Whether JSON lines of state and progress are written; for commands whose data is one document: no. */
  jsonLines?: boolean;
  maxRuntimeSeconds: number;
  /** Told how the job stands, about once a second; may talk with the person meanwhile. */
  onLook?: (job: JobBody, interlude: Interlude) => void;
}

export interface FollowedJob {
  job: JobBody;
  missingBytes: number;
  /** Bytes that were shown and then lost in a crash of the server. */
  surplusBytes: number;
  /** SHA-256 of the log as it came here; null when it was not read from its start. */
  digest: string | null;
}

/** Thrown when the person stops following; the job goes on. */
export class LeftError extends CliError {
  override name = 'LeftError';

  constructor(job: string) {
    super({
      code: 'left',
      happened: `Not following any more. ${job} goes on.`,
      safe: 'The job goes on by itself.',
      next: [
        { label: 'Follow', command: shell`intervene logs ${job} --follow` },
        { label: 'Stop', command: shell`intervene jobs cancel ${job}` },
      ],
      exitStatus: exitStatus.left,
    });
  }
}

/**
 * Follows a job to its end, showing its log and progress, through restarts of the control plane and silence
 * of its server. Throws LeftError on Ctrl-C.
 */
export async function followJob(
  context: CommandContext,
  job: JobBody,
  options: FollowJobOptions,
): Promise<FollowedJob> {
  const { surroundings, terminal } = context;
  const api = await context.api();
  const left = new AbortController();
  const stopListening = surroundings.onInterrupt(() => left.abort());
  const progress = new ProgressView(terminal, () => surroundings.now(), {
    jsonLines: options.jsonLines ?? true,
  });
  progress.update(job);
  const status = terminal.json
    ? null
    : new StatusLine(terminal, () => progress.line(options.view.unfinishedLine));
  const watch = new ServerWatch(context, job);
  const over = new AbortController();
  const interlude: Interlude = async (work) => {
    status?.pause(true);
    try {
      return await work(over.signal);
    } finally {
      status?.pause(false);
    }
  };
  const looks = lookRegularly(api, job, options.steps, progress, watch, (current) =>
    options.onLook?.(current, interlude),
  );
  const hash = createHash('sha256');
  try {
    const followed = await followLog(api, {
      job: job.id,
      from: options.from,
      follow: true,
      onRecords: (records) => {
        watch.heard();
        return options.view.take(records);
      },
      onBytes: (bytes) => hash.update(bytes),
      onLost: () => watch.lost(),
      onBack: () => watch.back(),
      giveUpAt: () => Date.parse(job.startBefore) + options.maxRuntimeSeconds * 1000 + GRACE_MS,
      now: () => surroundings.now(),
      signal: left.signal,
    });
    over.abort();
    await looks.stop(followed.job);
    status?.stop();
    await options.view.finish(followed.job);
    return {
      job: followed.job,
      missingBytes: followed.missingBytes,
      surplusBytes: Math.max(0, followed.offset - (followed.job.log.bytes ?? followed.offset)),
      digest: followed.begin === 0 ? `sha256:${hash.digest('hex')}` : null,
    };
  } catch (error) {
    if (left.signal.aborted) throw new LeftError(job.name);
    throw error;
  } finally {
    over.abort();
    await looks.stop(null);
    status?.stop();
    stopListening();
  }
}

/** Asks for state, progress and steps while the log is followed; a short job is never asked after. */
function lookRegularly(
  api: ApiClient,
  job: JobBody,
  steps: boolean,
  progress: ProgressView,
  watch: ServerWatch,
  onLook: (job: JobBody) => void,
): { stop: (final: JobBody | null) => Promise<void> } {
  let timer: NodeJS.Timeout | undefined = setTimeout(look, FIRST_LOOK_MS);
  const path = `/api/v1/jobs/${reference(job.id)}`;

  function look(): void {
    lookOnce()
      .catch(() => {
        // The log's own connection says when the control plane is away.
      })
      .finally(() => {
        if (timer !== undefined) timer = setTimeout(look, LOOK_MS);
      });
  }

  async function lookOnce(): Promise<void> {
    const current = await api.get<JobBody>(path);
    if (timer === undefined) return;
    progress.update(current);
    if (steps) await takeSteps();
    onLook(current);
    await watch.look(api, current);
  }

  async function takeSteps(): Promise<void> {
    const after = progress.lastEvent;
    progress.takeEvents(await api.list<JobEventBody>(`${path}/events`, { after }));
  }

  return {
    async stop(final) {
      if (timer === undefined) return;
      clearTimeout(timer);
      timer = undefined;
      if (final === null) return;
      progress.update(final);
      if (steps) await takeSteps().catch(() => {});
    },
  };
}

/** Tells the person when nothing is heard, once, and once when it is over. */
class ServerWatch {
  private readonly context: CommandContext;
  private readonly job: JobBody;
  private lastHeard: number;
  private silentSince: number | null = null;
  private lostSince: number | null = null;

  constructor(context: CommandContext, job: JobBody) {
    this.context = context;
    this.job = job;
    this.lastHeard = context.surroundings.now();
  }

  heard(): void {
    this.lastHeard = this.context.surroundings.now();
    if (this.silentSince !== null) this.serverIsBack();
  }

  lost(): void {
    this.lostSince = this.context.surroundings.now();
    this.say('!', `No answer from the control plane since ${this.clock(this.lostSince)}.`);
    this.say(' ', 'The job goes on by itself. Waiting; Ctrl-C leaves the job running.');
  }

  back(): void {
    if (this.lostSince === null) return;
    this.lostSince = null;
    this.say(
      '✓',
      `Back ${this.clock(this.context.surroundings.now())}; the log goes on where it was cut.`,
    );
  }

  async look(api: ApiClient, job: JobBody): Promise<void> {
    const now = this.context.surroundings.now();
    if (now - this.lastHeard < SILENCE_MS) return;
    const server = await api.get<ServerBody>(`/api/v1/servers/${reference(job.serverId)}`);
    const isAway = server.agent?.state !== 'connected';
    if (isAway && this.silentSince === null) {
      const seen = Date.parse(server.agent?.lastSeenAt ?? '') || this.lastHeard;
      this.silentSince = seen;
      this.say('!', `No word from ${job.serverName} since ${this.clock(seen)}.`);
      this.say(
        ' ',
        job.state === 'running'
          ? `The job goes on by itself there; ${formatCount(job.log.lines, 'line')} safe here. Waiting; Ctrl-C leaves the job running.`
          : `The order waits until ${this.clock(Date.parse(job.startBefore))}. Ctrl-C leaves it waiting.`,
      );
    } else if (!isAway && this.silentSince !== null) {
      this.serverIsBack();
    }
  }

  private serverIsBack(): void {
    this.silentSince = null;
    this.say('✓', `${this.job.serverName} is back ${this.clock(this.context.surroundings.now())}`);
  }

  private clock(ms: number): string {
    return formatClock(ms, this.context.surroundings.timeZone, { seconds: true });
  }

  private say(sign: string, text: string): void {
    if (this.context.terminal.json) return;
    this.context.terminal.say(glyph(sign === '✓' ? 'ok' : 'warn', sign), text);
  }
}
