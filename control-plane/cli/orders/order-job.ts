import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { digestOf } from '../../../proto/documents/document.ts';
import type { Identity } from '../../../proto/documents/fields.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import type { GrantBody, JobBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { glyph } from '../output/terminal.ts';
import { formatClock, formatDuration } from '../output/time-text.ts';
import { submitJob } from '../jobs/submit-job.ts';
import { buildOrder } from './build-order.ts';
import { findGiven } from './given-secrets.ts';
import { choosePermission, requireTicketOf } from './choose-permission.ts';
import { findGrant, type GrantChoice } from './grant-choice.ts';
import { orderWords, type OrderedWith } from './order-options.ts';
import type { Parameters } from './parameters.ts';
import type { Preparation } from './prepare-order.ts';

/** Options of every command that orders a job. */
export interface OrderOptions {
  timeoutSeconds: number | null;
  onDisconnect: Order['onDisconnect'];
  reason: string;
  ticket: string | undefined;
  /** How many must sign, where the server's policy wants more than the authorization. */
  engineers: number | undefined;
  /** Secrets by input name, in plain text. */
  secrets: Record<string, string>;
  /** Inputs for which the client gave a secret. */
  given: readonly string[];
  /** What a plan, a diagnosis or an action without a plan works on; else the plan says it. */
  target: Order['target'];
  /** See `OrderRequest`. */
  expectedSystem: Pick<Identity, 'hostname' | 'machineId'>;
}

export interface WantedJob {
  action: ActionDeclaration;
  mode: Order['mode'];
  parameters: Parameters;
  plan: string | null;
  undoes: string | null;
  target: Order['target'];
  /** Digest of the authorization; undefined: the one that covers. */
  authorization?: string | null;
}

export interface OrderedJob extends OrderedWith {
  job: JobBody;
  order: Order;
  /** Of the order, as receipts name it. */
  digest: string;
}

/**
 * Signs and sends one order. Without an authorization that covers it, it is sent all the same: the agent's
 * signed refusal is the answer.
 */
export async function orderJob(
  context: CommandContext,
  preparation: Preparation,
  wanted: WantedJob,
  options: OrderOptions,
): Promise<OrderedJob> {
  const { api, server, agent, signer } = preparation;
  const now = context.surroundings.now();
  const given = await findGiven(preparation, wanted.action, options.given);
  const choice =
    wanted.authorization === undefined
      ? choosePermission(context, preparation, given.grants, wanted, options.ticket)
      : null;
  const authorization = choice ? (choice.grant?.digest ?? null) : (wanted.authorization ?? null);
  const grant = choice?.grant?.body ?? findGrant(given.grants, authorization);
  requireTicketOf(grant, options.ticket, server.name, [wanted.action.id]);
  const { order, envelope } = await buildOrder(
    {
      action: wanted.action,
      mode: wanted.mode,
      server: server.id,
      identity: server.identity,
      agent,
      parameters: wanted.parameters,
      authorization,
      plan: wanted.plan,
      undoes: wanted.undoes,
      target: wanted.target,
      expectedSystem: wanted.target === null ? {} : options.expectedSystem,
      secrets: options.secrets,
      given: given.under(grant?.id),
      maxRuntimeSeconds: options.timeoutSeconds,
      onDisconnect: options.onDisconnect,
      reason: options.reason,
      nowMs: now,
    },
    signer,
  );
  const job = await submitJob(api, order.job, envelope, options);
  if (!context.terminal.json && agent.state !== 'connected' && job.state !== 'proposed') {
    const until = formatClock(Date.parse(job.startBefore), context.surroundings.timeZone);
    context.terminal.say(
      glyph('warn', '!'),
      `The agent on ${server.name} is away; the job waits for it until ${until}. Ctrl-C leaves it waiting.`,
    );
  }
  if (!context.terminal.json) sayOrdered(context, job, choice, preparation.grants);
  return {
    job,
    order,
    digest: digestOf(envelope),
    ticket: grant?.ticket ?? options.ticket ?? '',
    words: orderWords(options, wanted.target),
  };
}

function sayOrdered(
  context: CommandContext,
  job: JobBody,
  choice: GrantChoice | null,
  grants: readonly GrantBody[],
): void {
  const { terminal, surroundings } = context;
  const grant = choice?.grant?.body;
  const ends = grant
    ? ` · G-${grant.number} ends in ${formatDuration(Date.parse(grant.expiresAt) - surroundings.now())}`
    : '';
  // Planning may be of a lower class than what is planned, which the plan names itself.
  const toPlan = job.mode === 'plan' ? ' to plan' : '';
  terminal.say(`${job.name} · ${job.action} (${job.mode}) · class ${job.class}${toPlan}${ends}`);
  if (job.state === 'proposed') {
    const until = formatClock(Date.parse(job.startBefore), surroundings.timeZone);
    terminal.say(
      glyph('warn', '!'),
      `${job.engineersNeeded} engineers must sign; ${job.signedBy.length} did. Until ${until} another one must too.`,
    );
    terminal.sayNext(shell`intervene approve ${job.name}`, { who: 'another engineer' });
  }
  if (choice !== null && choice.grant === null) {
    const ended = grants.toSorted((a, b) => b.number - a.number)[0];
    terminal.say(
      glyph('warn', '!'),
      choice.why === null
        ? `${endedText(ended)} The agent is asked all the same.`
        : `Not covered: ${choice.why.detail}; the agent is asked all the same.`,
    );
  }
}

/** Tells a permission that has ended from one that never was. */
function endedText(newest: GrantBody | undefined): string {
  if (newest === undefined) return 'The client has authorized nothing on this server.';
  const how = newest.state === 'revoked' ? 'was taken back' : 'has run out';
  return `No authorization of the client is valid on this server any more: G-${newest.number} ${how}.`;
}
