import { shell } from '../../../proto/documents/command-text.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { ConfirmationOffer } from '../jobs/confirm-job.ts';
import { followJob } from '../jobs/follow-job.ts';
import { JsonLogView, TextLogView } from '../jobs/log-view.ts';
import { reportOutcome } from '../jobs/outcome-card.ts';
import {
  orderJob,
  type OrderOptions,
  type OrderedJob,
  type WantedJob,
} from '../orders/order-job.ts';
import type { Preparation } from '../orders/prepare-order.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { ProgramChannel } from '../jobs/log-view.ts';

const ALL_CHANNELS: ReadonlySet<ProgramChannel> = new Set(['out', 'err', 'note']);

type Wanted = Omit<WantedJob, 'undoes' | 'target'> & Partial<Pick<WantedJob, 'undoes' | 'target'>>;

export interface FollowedOrder {
  /** The exit status of the command that ordered it. */
  status: number;
  /** Name of the job. */
  job: string;
}

/** Orders the job and, unless detached, follows it to its end. Returns the exit status. */
export async function orderAndFollow(
  context: CommandContext,
  preparation: Preparation,
  wanted: Wanted,
  options: OrderOptions,
  detach: boolean,
): Promise<number> {
  if (!detach) return (await followOrder(context, preparation, wanted, options)).status;
  const { terminal } = context;
  const { job } = await order(context, preparation, wanted, options);
  if (terminal.json) {
    terminal.printJson(job);
  } else {
    terminal.printName(job.name);
    terminal.sayNext(shell`intervene logs ${job.name} --follow`);
  }
  return exitStatus.succeeded;
}

/** Orders the job, follows it to its end, and says how it ended. */
export async function followOrder(
  context: CommandContext,
  preparation: Preparation,
  wanted: Wanted,
  options: OrderOptions,
): Promise<FollowedOrder> {
  const ordered = await order(context, preparation, wanted, options);
  const offer = new ConfirmationOffer(context, preparation, ordered, options);
  return { status: await followOrdered(context, ordered, offer), job: ordered.job.name };
}

function order(
  context: CommandContext,
  preparation: Preparation,
  wanted: Wanted,
  options: OrderOptions,
): Promise<OrderedJob> {
  sayWhereSecretsGo(context, preparation, options);
  return orderJob(context, preparation, { undoes: null, target: null, ...wanted }, options);
}

async function followOrdered(
  context: CommandContext,
  ordered: OrderedJob,
  offer: ConfirmationOffer,
): Promise<number> {
  const { terminal } = context;
  const { job, order } = ordered;
  const view = terminal.json
    ? new JsonLogView(terminal, job.id, ALL_CHANNELS)
    : new TextLogView(terminal, {
        channels: ALL_CHANNELS,
        // As if the program ran here: its output is the data, all else is said to the person.
        talk: new Set(['err', 'note']),
        raw: false,
      });
  const followed = await followJob(context, job, {
    view,
    from: { offset: 0 },
    steps: order.plan !== null || order.undoes !== null,
    maxRuntimeSeconds: order.maxRuntimeSeconds,
    onLook: (current, interlude) => offer.look(current, interlude),
  });
  return reportOutcome(context, followed, ordered);
}

/** The recipient of secrets comes from the control plane; the person is told that it is being trusted. */
function sayWhereSecretsGo(
  context: CommandContext,
  { agent, server }: Preparation,
  { secrets }: OrderOptions,
): void {
  if (Object.keys(secrets).length === 0 || context.terminal.json) return;
  context.terminal.say(
    glyph('warn', '!'),
    styled(
      'warn',
      `Secrets are sealed to ${agent.ageRecipient}, which the control plane names for ${server.name}.`,
    ),
  );
  context.terminal.say(
    `Compare the agent's key ${agent.keyFingerprint} with what the server shows.`,
  );
}
