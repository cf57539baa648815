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

/** Orders the job and, unless detached, follows it to its end. */
export async function orderAndFollow(
  context: CommandContext,
  preparation: Preparation,
  wanted: Omit<WantedJob, 'undoes' | 'target'> & Partial<Pick<WantedJob, 'undoes' | 'target'>>,
  options: OrderOptions,
  detach: boolean,
): Promise<number> {
  const { terminal } = context;
  sayWhereSecretsGo(context, preparation, options);
  const ordered = await orderJob(
    context,
    preparation,
    { undoes: null, target: null, ...wanted },
    options,
  );
  if (!detach) {
    const offer = new ConfirmationOffer(context, preparation, ordered, options);
    return followOrdered(context, ordered, offer);
  }
  if (terminal.json) {
    terminal.printJson(ordered.job);
  } else {
    terminal.printName(ordered.job.name);
    terminal.sayNext(shell`intervene logs ${ordered.job.name} --follow`);
  }
  return exitStatus.succeeded;
}

async function followOrdered(
  context: CommandContext,
  ordered: OrderedJob,
  offer: ConfirmationOffer,
): Promise<number> {
  const { terminal } = context;
  const { job, order, ticket } = ordered;
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
  return reportOutcome(context, followed, ticket);
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
