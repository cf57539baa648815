import type { Logger } from 'pino';
import { wireLimits } from '../../proto/wire.ts';
import type { Job, Jobs } from '../jobs/job.ts';
import type { Acknowledged, EndStatement, JobPosition } from './courier.ts';
import { JobReport } from './job-report.ts';
import type { Link } from './job-report.ts';
import type { Session } from './session.ts';

/** The session itself, renewals and a reserve also need streams of the connection. */
const UPLOADS_MAX = wireLimits.streamsPerConnection - 8;

/** What the agent has stated and will state about its jobs. */
export interface Statements {
  /** Receipt of acceptance or refusal. */
  receiptOf(job: string): Uint8Array | null;
  endOf(job: Job): Promise<EndStatement>;
}

/** More than an honest control plane leaves unacknowledged. */
const REFUSALS_MAX = 1_000;
/** Jobs that a greeting names; of the others the control plane says no position. */
const GREETED_MAX = 500;

export interface ReporterOptions {
  jobs: Pick<Jobs, 'all' | 'onAdded' | 'release'>;
  /** A job that was told of to its end before; null for one that was refused, or is not there any more. */
  recall: (job: string) => Job | null;
  statements: Statements;
  /** The end of a job, or a refusal, is committed on the other side; called before it is released. */
  onDone: (job: string) => void;
  log: Logger;
}

/** Reports every job to the control plane, over whatever session there is. */
export class Reporter {
  private readonly options: ReporterOptions;
  private readonly reports = new Map<string, JobReport>();
  /** Of the reports, those that only state a refusal; oldest first. */
  private readonly refusals = new Set<string>();
  private readonly unsubscribe: () => void;
  private session: Session | null = null;
  private link: Link | null = null;
  private openUploads = 0;

  constructor(options: ReporterOptions) {
    this.options = options;
    for (const job of options.jobs.all()) this.add(job.id, job);
    this.unsubscribe = options.jobs.onAdded((job) => {
      this.reports.get(job.id)?.close();
      this.start(this.add(job.id, job));
    });
  }

  /** A session was welcomed: what the control plane lacks is sent, from where it says. */
  attach(session: Session, positions: readonly JobPosition[]): void {
    this.session = session;
    this.openUploads = 0;
    const link = this.createLink(session);
    this.link = link;
    const byJob = new Map(positions.map((position) => [position.job, position]));
    for (const report of this.reports.values()) {
      const position = byJob.get(report.id) ?? null;
      if (position?.known === false) {
        // It lost the job, or never had it: nothing it could store; kept for a later session.
        this.options.log.warn({ job: report.id }, 'the control plane does not know this job');
        report.detach();
      } else {
        report.attach(link, position);
      }
    }
  }

  detach(): void {
    this.session = this.link = null;
    for (const report of this.reports.values()) report.detach();
  }

  /** Jobs of which the control plane does not have everything yet. */
  get unfinished(): string[] {
    return [...this.reports.keys()];
  }

  /** The newest of them, as many as a greeting may name; jobs before refusals. */
  get greeted(): string[] {
    const jobs = this.unfinished.filter((id) => !this.refusals.has(id)).slice(-GREETED_MAX);
    const room = GREETED_MAX - jobs.length;
    return room === 0 ? jobs : [...jobs, ...[...this.refusals].slice(-room)];
  }

  /** States nothing more about an order that was refused. */
  forgetRefusal(job: string): void {
    if (!this.refusals.delete(job)) return;
    this.reports.get(job)?.close();
    this.reports.delete(job);
  }

  /** Reports a job that `jobs` does not hold: accepted, but lost before it could start. */
  addLost(job: Job): void {
    this.start(this.add(job.id, job));
  }

  /** States a refusal, or repeats what was stated about a job before, to its end if it was told. */
  repeat(job: string): void {
    const known = this.reports.get(job);
    if (known === undefined) this.start(this.add(job, this.options.recall(job)));
    else known.repeat();
  }

  acknowledge(acknowledged: Acknowledged): void {
    this.reports.get(acknowledged.job)?.acknowledge(acknowledged);
  }

  /** The stream takes messages again, or something may have changed for all jobs. */
  pump(): void {
    for (const report of this.reports.values()) report.pump();
  }

  close(): void {
    this.unsubscribe();
    for (const report of this.reports.values()) report.close();
    this.reports.clear();
  }

  private start(report: JobReport): void {
    if (this.link !== null) report.attach(this.link, null);
  }

  private add(id: string, job: Job | null): JobReport {
    const { statements, log } = this.options;
    const report = new JobReport({
      id,
      job,
      receipt: () => statements.receiptOf(id),
      end: () => {
        if (job === null) throw new Error('a refused order has no end');
        return statements.endOf(job);
      },
      onDone: () => {
        this.reports.delete(id);
        this.refusals.delete(id);
        this.options.onDone(id);
        if (job !== null) void this.release(id);
      },
      log: log.child({ job: id }),
    });
    this.reports.set(id, report);
    this.refusals.delete(id);
    if (job === null) this.addRefusal(id);
    return report;
  }

  private addRefusal(id: string): void {
    this.refusals.add(id);
    const [oldest] = this.refusals;
    if (this.refusals.size > REFUSALS_MAX) this.forgetRefusal(oldest!);
  }

  private async release(id: string): Promise<void> {
    try {
      await this.options.jobs.release(id);
    } catch (error) {
      this.options.log.warn({ job: id, err: error }, 'a job cannot be released');
    }
  }

  private createLink(session: Session): Link {
    const isCurrent = () => this.session === session;
    return {
      get isWritable() {
        return session.isWritable;
      },
      send: (message) => session.send(message),
      openUpload: () => {
        if (!session.isOpen || this.openUploads >= UPLOADS_MAX) return null;
        this.openUploads++;
        return session.openUpload();
      },
      closedUpload: () => {
        if (!isCurrent()) return;
        this.openUploads--;
        if (this.openUploads === UPLOADS_MAX - 1) this.pump();
      },
    };
  }
}
