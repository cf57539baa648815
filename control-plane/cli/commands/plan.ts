import { commandText, shell } from '../../../proto/documents/command-text.ts';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { reference } from '../api/api-client.ts';
import type { JobDocumentsBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus, exitStatusOfJob } from '../exit-status.ts';
import { followJob } from '../jobs/follow-job.ts';
import type { FollowedJob } from '../jobs/follow-job.ts';
import { QuietLogView } from '../jobs/log-view.ts';
import { reportOutcome } from '../jobs/outcome-card.ts';
import { orderJob, type OrderedJob, type OrderOptions } from '../orders/order-job.ts';
import { readOrderOptions, runPlanText } from '../orders/order-options.ts';
import type { RawOrderOptions } from '../orders/order-options.ts';
import { parseParameters } from '../orders/parameters.ts';
import type { Parameters } from '../orders/parameters.ts';
import { planLines } from '../orders/plan-view.ts';
import { prepareOrder } from '../orders/prepare-order.ts';
import type { Preparation } from '../orders/prepare-order.ts';
import { readPlan } from '../orders/read-plan.ts';
import type { ReadPlan } from '../orders/read-plan.ts';
import { requireAction } from './actions.ts';

export interface PlanOptions extends RawOrderOptions {
  param?: string[];
  fromFindings?: boolean;
}

const TAIL_LINES = 40;

/** `intervene plan SERVER ACTION`: what the action would do, and nothing done. */
export async function plan(
  context: CommandContext,
  [server = '', id = '', ...words]: string[],
  options: PlanOptions,
): Promise<number> {
  if (options.fromFindings === true) {
    requireNoAction(id, options);
    const { planFromFindings } = await import('./from-findings.ts');
    return planFromFindings(context, server, options);
  }
  const action = requireAction(id);
  if (!action.plans) {
    const after = words.length === 0 ? [] : ['--', ...words];
    const what =
      action.parameters.shape['argv'] !== undefined
        ? 'what it will do is what is typed'
        : action.class === 'A'
          ? 'it only looks, and changes nothing'
          : 'it does what its parameters say';
    throw usageError(`${action.id} has no plan: ${what}.`, [
      { label: 'run it', command: commandText(['intervene', 'run', server, action.id, ...after]) },
    ]);
  }
  const parameters = parseParameters(action, options.param ?? [], words);
  const orderOptions = readOrderOptions(options, action);
  const preparation = await prepareOrder(context, server, action, options.key);
  const {
    plan: read,
    followed,
    ordered,
  } = await makePlan(context, preparation, {
    action,
    parameters,
    options: orderOptions,
    jsonLines: false,
  });
  if (context.terminal.json) {
    context.terminal.printJson({ ...followed.job, plan: read?.plan ?? null });
    return exitStatusOfJob(followed.job.state);
  }
  if (read === null) return reportOutcome(context, followed, ordered);
  await showPlan(context, read, action, preparation.server.name, 'out', followed.job.name);
  if (read.plan.steps.length === 0) return exitStatus.succeeded;
  context.terminal.sayNext(runPlanText(preparation.server.name, action, read, orderOptions));
  return exitStatus.succeeded;
}

/** With `--from-findings` the findings say what is done. */
export function requireNoAction(id: string, { param = [] }: Pick<PlanOptions, 'param'>): void {
  if (id === '' && param.length === 0) return;
  throw usageError('--from-findings takes the actions and their parameters from what was found.');
}

export interface MadePlan {
  /** Null when the plan job did not succeed. */
  plan: ReadPlan | null;
  followed: FollowedJob;
  ordered: OrderedJob;
}

export interface WantedPlan {
  action: ActionDeclaration;
  parameters: Parameters;
  options: OrderOptions;
  jsonLines: boolean;
}

/** Orders the plan and waits for it. */
export async function makePlan(
  context: CommandContext,
  preparation: Preparation,
  { action, parameters, options, jsonLines }: WantedPlan,
): Promise<MadePlan> {
  const ordered = await orderJob(
    context,
    preparation,
    { action, mode: 'plan', parameters, plan: null, undoes: null, target: options.target },
    options,
  );
  const { job, order } = ordered;
  const followed = await followJob(context, job, {
    view: new QuietLogView(context.terminal, TAIL_LINES),
    from: { offset: 0 },
    steps: false,
    jsonLines,
    maxRuntimeSeconds: order.maxRuntimeSeconds,
  });
  if (followed.job.state !== 'succeeded') return { plan: null, followed, ordered };
  const read = await fetchPlan(preparation, followed.job.id, followed.job.planDigest);
  return { plan: read, followed, ordered };
}

/** The plan of a job, its digest computed from the bytes that will be shown. */
export async function fetchPlan(
  preparation: Preparation,
  job: string,
  claimed: string | null,
): Promise<ReadPlan> {
  const documents = await preparation.api.get<JobDocumentsBody>(
    `/api/v1/jobs/${reference(job)}/documents`,
  );
  if (documents.plan === null) {
    throw new CliError({
      code: 'plan_missing',
      happened: `The job ${job} ended without a plan.`,
      safe: 'Nothing was changed.',
      next: [{ label: 'see why', command: shell`intervene logs ${job}` }],
    });
  }
  const read = readPlan(documents.plan, claimed);
  if (read.plan.server !== preparation.server.id) {
    throw new CliError({
      code: 'plan_mismatch',
      happened: `The plan is for another server than ${preparation.server.name}.`,
      safe: 'Nothing was ordered.',
      exitStatus: exitStatus.refused,
    });
  }
  return read;
}

/** Prints a plan: as data for `plan`, beside the question for `run`. */
export async function showPlan(
  context: CommandContext,
  read: ReadPlan,
  action: ActionDeclaration,
  server: string,
  where: 'out' | 'talk',
  job: string,
): Promise<void> {
  const { terminal } = context;
  if (terminal.json) {
    await terminal.printJsonLine({ type: 'plan', job, digest: read.digest, plan: read.plan });
    return;
  }
  const heading = {
    digest: read.digest,
    class: action.class,
    server,
    usualDuration: action.usualDuration,
  };
  const columns = where === 'out' ? terminal.columns : terminal.talkColumns;
  for (const line of planLines(read.plan, heading, columns)) {
    if (where === 'out') terminal.print(...line);
    else terminal.say(...line);
  }
}
