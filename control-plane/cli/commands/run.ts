import { isDeepStrictEqual } from 'node:util';
import { commandText } from '../../../proto/documents/command-text.ts';
import { orderClass } from '../../../proto/documents/coverage.ts';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import type { JobBody } from '../api/bodies.ts';
import { usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { reportOutcome } from '../jobs/outcome-card.ts';
import { confirmOrder } from '../orders/confirm-order.ts';
import { findPlan } from '../orders/find-plan.ts';
import type { OrderOptions } from '../orders/order-job.ts';
import { orderWords, readOrderOptions, runPlanText } from '../orders/order-options.ts';
import type { RawOrderOptions } from '../orders/order-options.ts';
import { parseParameters } from '../orders/parameters.ts';
import { prepareOrder } from '../orders/prepare-order.ts';
import type { Preparation } from '../orders/prepare-order.ts';
import { shortDigest, targetOfPlan, type ReadPlan } from '../orders/read-plan.ts';
import { requireAction } from './actions.ts';
import { orderAndFollow } from './order-and-follow.ts';
import { fetchPlan, makePlan, requireNoAction, showPlan } from './plan.ts';

export interface RunOptions extends RawOrderOptions {
  param?: string[];
  plan?: string;
  yes?: boolean;
  detach?: boolean;
  fromFindings?: boolean;
  acceptClassC?: boolean;
}

/** `intervene run SERVER ACTION`: orders a job, follows it, and exits with how it ended. */
export async function run(
  context: CommandContext,
  [server = '', id = '', ...words]: string[],
  options: RunOptions,
): Promise<number> {
  if (options.fromFindings === true) {
    requireNoAction(id, options);
    const { runFromFindings } = await import('./from-findings.ts');
    return runFromFindings(context, server, options);
  }
  const action = requireAction(id);
  if (options.plan !== undefined && !action.plans) {
    throw usageError(`${action.id} has no plan; leave --plan out.`);
  }
  const orderOptions = readOrderOptions(options, action);
  if (action.plans) return runPlanned(context, server, action, options, orderOptions);
  const parameters = parseParameters(action, options.param ?? [], words);
  const preparation = await prepareOrder(context, server, action, options.key);
  await confirmOrder(context, {
    action,
    class: orderClass(action, 'apply'),
    server: preparation.server.name,
    yes: options.yes === true,
    planNamed: false,
    what: `${describeWork(action, parameters['argv'])} on ${preparation.server.name}`,
  });
  const { target } = orderOptions;
  const wanted = { action, mode: 'apply' as const, parameters, plan: null, target };
  return orderAndFollow(context, preparation, wanted, orderOptions, options.detach === true);
}

async function runPlanned(
  context: CommandContext,
  server: string,
  action: ActionDeclaration,
  options: RunOptions,
  orderOptions: OrderOptions,
): Promise<number> {
  const planNamed = options.plan !== undefined;
  if (!planNamed) parseParameters(action, options.param ?? []);
  const preparation = await prepareOrder(context, server, action, options.key);
  const name = preparation.server.name;
  const words = [
    ...(options.param ?? []).flatMap((pair) => ['--param', pair]),
    ...orderWords(orderOptions, orderOptions.target),
  ];
  const confirmation = {
    action,
    class: orderClass(action, 'apply'),
    server: name,
    yes: options.yes === true,
    planNamed,
    words,
    what: `Apply this plan on ${name}`,
  };
  let read: ReadPlan;
  if (options.plan !== undefined) {
    read = await namedPlan(preparation, action, options.plan, {
      pairs: options.param ?? [],
      orderOptions,
    });
    if (!confirmation.yes) await showPlan(context, read, action, name, 'talk', options.plan);
  } else {
    if (confirmation.yes) await confirmOrder(context, confirmation);
    const parameters = parseParameters(action, options.param ?? []);
    const made = await makePlan(context, preparation, {
      action,
      parameters,
      options: orderOptions,
      jsonLines: true,
    });
    if (made.plan === null) return reportOutcome(context, made.followed, made.ordered);
    read = made.plan;
    await showPlan(context, read, action, name, 'talk', made.followed.job.name);
    if (read.plan.steps.length === 0) {
      return reportOutcome(context, made.followed, made.ordered);
    }
  }
  const flags = `--yes --plan ${shortDigest(read.digest)}`;
  await confirmOrder(context, { ...confirmation, flags });
  return orderAndFollow(
    context,
    preparation,
    {
      action,
      mode: 'apply',
      parameters: read.plan.parameters,
      plan: read.digest,
      target: targetOfPlan(read.plan),
    },
    orderOptions,
    options.detach === true,
  );
}

/** A plan that is there already, by its digest or its job; parameters come from it. */
async function namedPlan(
  preparation: Preparation,
  action: ActionDeclaration,
  named: string,
  { pairs, orderOptions }: { pairs: readonly string[]; orderOptions: OrderOptions },
): Promise<ReadPlan> {
  const { api, server } = preparation;
  const jobs = await api.list<JobBody>('/api/v1/jobs', { server: server.id });
  const job = findPlan(jobs, named, server.name);
  const read = await fetchPlan(preparation, job.id, job.planDigest);
  if (read.plan.action !== action.id) {
    const { action: id } = read.plan;
    throw usageError(`The plan ${named} is for ${id}, not for ${action.id}.`, [
      { label: '', command: runPlanText(server.name, { id }, read, orderOptions) },
    ]);
  }
  const words = [
    ...pairs.flatMap((pair) => ['--param', pair]),
    ...orderWords(orderOptions, targetOfPlan(read.plan)),
  ];
  if (
    pairs.length > 0 &&
    !isDeepStrictEqual(parseParameters(action, pairs), read.plan.parameters)
  ) {
    throw usageError(
      `The plan ${named} was made with other parameters; leave --param out, or plan again.`,
      [
        {
          label: '',
          command: commandText(['intervene', 'plan', server.name, action.id, ...words]),
        },
      ],
    );
  }
  return read;
}

function describeWork(action: ActionDeclaration, argv: unknown): string {
  return Array.isArray(argv) ? `Run ${commandText(argv.map(String))} as root` : action.title;
}
