import { commandText } from '../../../proto/documents/command-text.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { choosePermission, requireTicketOf } from '../orders/choose-permission.ts';
import {
  giveSteps,
  givenFor,
  listGiven,
  missingOf,
  missingText,
  type MissingSecret,
} from '../orders/given-secrets.ts';
import type { ChosenGrant } from '../orders/grant-choice.ts';
import type { OrderOptions } from '../orders/order-job.ts';
import { valueText } from '../orders/plan-view.ts';
import { requireAgent, type Preparation } from '../orders/prepare-order.ts';
import type { Proposal } from './propose-repairs.ts';

export interface WantedRepairs {
  proposals: readonly Proposal[];
  mode: Order['mode'];
  options: Pick<OrderOptions, 'given' | 'ticket'>;
  /** What the client is asked to permit the rest for; empty when none is known. */
  ticket: string;
}

/**
 * Before the first of several repairs is ordered: throws CliError where the agent would refuse one of them for
 * certain, and names all that the client has to permit or to give, so that nothing ends halfway for it.
 */
export async function requirePermitted(
  context: CommandContext,
  preparation: Preparation,
  { proposals, mode, options, ticket }: WantedRepairs,
): Promise<void> {
  const { server, grants } = preparation;
  const usable = options.given.length === 0 ? [] : await listGiven(preparation);
  const uncovered: Proposal[] = [];
  const missing = new Map<string, MissingSecret>();
  const permitted: { action: string; grant: ChosenGrant }[] = [];
  let lack = '';
  for (const proposal of proposals) {
    const { action } = proposal;
    requireAgent(server, action);
    const choose = (from: typeof grants) =>
      choosePermission(context, preparation, from, { ...proposal, mode }, options.ticket);
    const covering = choose(grants);
    if (covering.grant === null) {
      uncovered.push(proposal);
      lack ||= covering.why?.reason ?? 'grant_missing';
    } else permitted.push({ action: action.id, grant: covering.grant });
    if (options.given.length === 0) continue;
    if (choose(givenFor(usable, grants, action, options.given).grants).grant !== null) continue;
    for (const one of missingOf(usable, action, options.given)) {
      missing.set(`${one.action} ${one.input}`, one);
    }
  }
  if (uncovered.length > 0 || missing.size > 0) {
    const names = [...new Set(uncovered.map(({ action }) => action.id))];
    const secrets = [...missing.values()];
    throw new CliError({
      code: lack === '' ? 'credential_not_given' : lack,
      happened: [
        ...(names.length === 0
          ? []
          : [
              `The client's permission does not cover ${uncovered.length} of ${proposals.length} repairs: ${names.join(', ')}.`,
            ]),
        ...(secrets.length === 0 ? [] : [missingText(secrets, server.name)]),
      ].join(' '),
      safe: 'No repair was ordered; nothing was changed.',
      next: [
        ...(names.length === 0
          ? []
          : [
              {
                label: 'the client gives permission',
                command: askText(server.name, ticket, uncovered),
                byOther: true as const,
              },
            ]),
        ...giveSteps(secrets, server.name),
      ],
      exitStatus: exitStatus.refused,
    });
  }
  const [foreign, ...others] = permitted.filter(
    ({ grant }) => options.ticket !== undefined && grant.body.ticket !== options.ticket,
  );
  if (foreign === undefined) return;
  const actions = new Set([foreign, ...others].map(({ action }) => action));
  requireTicketOf(foreign.grant.body, options.ticket, server.name, [...actions]);
}

/** What a repair brings in is permitted by value only. */
function askText(server: string, ticket: string, repairs: readonly Proposal[]): string {
  const limits = repairs.flatMap(({ action, parameters }) =>
    action.bringsIn
      .filter((name) => Object.hasOwn(parameters, name))
      .flatMap((name) => ['--limit', `${action.id}:${name}=${valueText(parameters[name])}`]),
  );
  const actions = [...new Set(repairs.map(({ action }) => action.id))].join(',');
  return commandText([
    ...['intervene', 'authorize', server, '--ticket', ticket === '' ? 'TICKET' : ticket],
    ...['--actions', actions, ...limits],
  ]);
}
