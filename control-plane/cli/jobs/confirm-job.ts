import { guardPhases, jobConfirm } from '../../../proto/actions/job.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { reference } from '../api/api-client.ts';
import type { JobBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { glyph } from '../output/terminal.ts';
import type { OrderOptions, OrderedJob, WantedJob } from '../orders/order-job.ts';
import { orderJob } from '../orders/order-job.ts';
import type { Preparation } from '../orders/prepare-order.ts';

/** Whether the job waits for its confirmation, and the control plane was reached after its change. */
export function isConfirmable(job: JobBody): boolean {
  return job.state === 'running' && job.progress?.phase === guardPhases.confirm;
}

/** The order that keeps what a job changed; it rests on the authorization of that job. */
export function confirmation(job: string, authorization: string | null): WantedJob {
  return {
    action: jobConfirm,
    mode: 'apply',
    parameters: { job },
    plan: null,
    undoes: null,
    target: null,
    authorization,
  };
}

/** Runs work that talks with the person, while nothing else is drawn; the signal says that the job is over. */
export type Interlude = <T>(work: (over: AbortSignal) => Promise<T>) => Promise<T>;

/** While a job is followed that will wait for its confirmation: asks for it, once, when it can be given. */
export class ConfirmationOffer {
  private readonly context: CommandContext;
  private readonly preparation: Preparation;
  private readonly ordered: OrderedJob;
  private readonly options: OrderOptions;
  private hasOffered = false;

  constructor(
    context: CommandContext,
    preparation: Preparation,
    ordered: OrderedJob,
    options: OrderOptions,
  ) {
    this.context = context;
    this.preparation = preparation;
    this.ordered = ordered;
    this.options = options;
  }

  look(job: JobBody, interlude: Interlude): void {
    if (this.hasOffered || !isConfirmable(job) || this.context.terminal.json) return;
    this.hasOffered = true;
    this.offer(job, interlude).catch((error: unknown) => {
      this.context.terminal.say(glyph('bad', '✗'), `Not confirmed: ${(error as Error).message}`);
      this.sayHow(job);
    });
  }

  private async offer(job: JobBody, interlude: Interlude): Promise<void> {
    const { terminal, prompt } = this.context;
    terminal.say(
      glyph('ok', '✓'),
      `${job.serverName} reaches the control plane by a new connection.`,
    );
    if (!prompt.isPossible) return this.sayHow(job);
    const question = [`Keep the change? Without a yes it takes itself back: ${job.progress!.text}`];
    const isKept = await interlude((over) => prompt.confirm(question, '', over));
    if (isKept) return this.confirm(job);
    await this.preparation.api.post(`/api/v1/jobs/${reference(job.id)}/cancel`, { mode: 'now' });
    terminal.say('Not kept; it is taken back now.');
  }

  private async confirm(job: JobBody): Promise<void> {
    const { authorization } = this.ordered.order;
    const wanted = confirmation(job.id, authorization);
    const silent = { ...this.options, secrets: {}, timeoutSeconds: null };
    await orderJob(this.context, this.preparation, wanted, silent);
  }

  private sayHow(job: JobBody): void {
    const label = `Keep it, ${job.progress?.text ?? 'while it waits'}`;
    this.context.terminal.sayNext(shell`intervene jobs confirm ${job.name}`, { label });
  }
}
