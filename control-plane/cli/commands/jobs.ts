import { findAction } from '../../../proto/actions/catalogue.ts';
import { declarationFor } from '../../../proto/actions/declaration.ts';
import { jobConfirm } from '../../../proto/actions/job.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import type { ApiClient } from '../api/api-client.ts';
import { reference } from '../api/api-client.ts';
import type { JobBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { NextStep } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { confirmation } from '../jobs/confirm-job.ts';
import { describeTrouble } from '../jobs/job-trouble.ts';
import { fetchOrder, wordsOfOrder } from '../jobs/stored-order.ts';
import { isFinal, jobStateTexts } from '../output/job-states.ts';
import { printFacts } from '../output/table.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatBytes, formatCount } from '../output/time-text.ts';
import { confirmOrder } from '../orders/confirm-order.ts';
import { readOrderOptions } from '../orders/order-options.ts';
import type { RawOrderOptions } from '../orders/order-options.ts';
import { valueText } from '../orders/plan-view.ts';
import { prepareOrder } from '../orders/prepare-order.ts';
import { requireAction } from './actions.ts';
import { printJobs } from './print-jobs.ts';
import { orderAndFollow } from './order-and-follow.ts';

const SHOWN = 20;

export async function listJobs(
  context: CommandContext,
  _args: string[],
  options: { server?: string; state?: string; intervention?: string; all?: boolean },
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const jobs = await api.list<JobBody>(
    '/api/v1/jobs',
    { server: options.server, state: options.state, intervention: options.intervention },
    options.all ? Number.POSITIVE_INFINITY : SHOWN + 1,
  );
  const items = options.all ? jobs : jobs.slice(0, SHOWN);
  if (terminal.json) {
    terminal.printJson({ items, next: null });
    return;
  }
  printJobs(context, items);
  if (items.length === 0) {
    terminal.sayNext('intervene run SERVER ACTION', { after: 'No job.' });
  } else {
    const more = jobs.length > items.length ? `the newest ${items.length} · more: --all · ` : '';
    terminal.sayNext(shell`intervene jobs show ${items[0]?.name ?? 'JOB'}`, {
      label: `${more}one`,
    });
  }
}

export async function showJob(context: CommandContext, [named = '']: string[]): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const job = await getJob(api, named);
  if (terminal.json) {
    terminal.printJson(job);
    return;
  }
  const order = await fetchOrder(api, job.id);
  // The digest at a job is that of the plan it made.
  const plan = job.planDigest ?? order.plan;
  const state = jobStateTexts[job.state];
  printFacts(terminal, [
    ['job', job.name],
    ['action', `${job.action} (${job.mode}, class ${job.class})`],
    ['server', job.serverName],
    [
      'state',
      terminal.outIsTty
        ? styled(state.style, `${state.glyph} ${state.word.toLowerCase()}`)
        : job.state,
    ],
    ['reason', job.reason ?? '-'],
    ...(job.detail === '' ? [] : [['detail', job.detail] as const]),
    ...Object.entries(job.parameters).map(([name, value]) => [name, valueText(value)] as const),
    ['ordered', job.createdAt],
    ['signed by', `${job.signedBy.join(', ') || '-'} (${job.engineersNeeded} needed)`],
    ['owner', job.owner ?? '-'],
    ['started', job.startedAt ?? '-'],
    ['ended', job.endedAt ?? '-'],
    ...(job.exitStatus === null ? [] : [['exit status', String(job.exitStatus)] as const]),
    ...resultFacts(job.result),
    ...(plan === null ? [] : [['plan', plan] as const]),
    ...(job.undoesJobId === null
      ? []
      : [['takes back', await nameOf(api, job.undoesJobId)] as const]),
    ...(job.undoneByJobId === null
      ? []
      : [['taken back', `by ${await nameOf(api, job.undoneByJobId)}`] as const]),
    [
      'log',
      `${formatCount(job.log.lines, 'line')}, ${formatBytes(job.log.committedBytes)}${verifiedText(job)}`,
    ],
    ['id', job.id],
  ]);
  if (isFinal(job.state) && job.state !== 'succeeded') {
    const { safe, next } = describeTrouble(job, wordsOfOrder(order));
    terminal.say(`Safe: ${safe}`);
    const elsewhere = next.find(({ command }) => !command.startsWith('intervene jobs show'));
    terminal.sayNext(elsewhere?.command ?? shell`intervene logs ${job.name}`, byWhom(elsewhere));
  } else {
    if (job.state === 'proposed') {
      terminal.sayNext(shell`intervene approve ${job.name}`, { who: 'another engineer' });
    } else {
      terminal.sayNext(shell`intervene logs ${job.name}`);
    }
  }
}

export async function cancelJob(
  context: CommandContext,
  [named = '']: string[],
  options: { afterStep?: boolean },
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const job = await api.post<JobBody>(`/api/v1/jobs/${reference(named)}/cancel`, {
    mode: options.afterStep ? 'after_step' : 'now',
  });
  if (terminal.json) {
    terminal.printJson(job);
    return;
  }
  if (isFinal(job.state)) {
    terminal.say(`${job.name} has ended: ${jobStateTexts[job.state].word.toLowerCase()}`);
    return;
  }
  terminal.say(
    glyph('ok', '✓'),
    options.afterStep
      ? `${job.name} stops after the step that runs`
      : `${job.name} is told to stop; a step that may not be cut short ends first`,
  );
  terminal.sayNext(shell`intervene logs ${job.name} --follow`);
}

/** `jobs undo JOB`: takes back what the job changed, under the authorization it ran with. */
export async function undoJob(
  context: CommandContext,
  [named = '']: string[],
  options: RawOrderOptions & { yes?: boolean; detach?: boolean },
): Promise<number> {
  const api = await context.api();
  const job = await getJob(api, named);
  if (job.undoneByJobId !== null) {
    const by = await getJob(api, job.undoneByJobId);
    if (context.terminal.json) context.terminal.printJson(by);
    else {
      context.terminal.say(
        `${job.name} was taken back already, by ${by.name}. Nothing is to be done.`,
      );
      context.terminal.sayNext(shell`intervene jobs show ${by.name}`);
    }
    return exitStatus.succeeded;
  }
  if (job.mode !== 'apply') {
    throw usageError(
      `${job.name} is a job of mode ${job.mode}; only what was applied can be undone.`,
      [{ label: 'see the jobs', command: shell`intervene jobs list --server ${job.serverName}` }],
    );
  }
  const undone = await fetchOrder(api, job.id);
  const action = requireAction(undone.action);
  if (declarationFor(action, undone.target).undo === 'none') {
    throw usageError(
      `What ${action.id} does cannot be undone.`,
      [{ label: 'see what it did', command: shell`intervene jobs show ${job.name}` }],
      'undo_not_possible',
    );
  }
  const orderOptions = readOrderOptions(options, action);
  const preparation = await prepareOrder(context, job.serverId, action, options.key);
  await confirmOrder(context, {
    action,
    class: action.class,
    server: preparation.server.name,
    yes: options.yes === true,
    // The job that is undone was named, and undoing only puts back what that job saved.
    planNamed: true,
    what: `Take back what ${job.name} (${job.action}) changed on ${preparation.server.name}`,
  });
  return orderAndFollow(
    context,
    preparation,
    {
      action,
      mode: 'undo',
      parameters: undone.parameters,
      plan: null,
      undoes: undone.job,
      target: undone.target,
      authorization: undone.authorization,
    },
    orderOptions,
    options.detach === true,
  );
}

/** `jobs confirm JOB`: keeps the change of a job that would take itself back. */
export async function confirmJob(
  context: CommandContext,
  [named = '']: string[],
  options: RawOrderOptions & { detach?: boolean },
): Promise<number> {
  const api = await context.api();
  const job = await getJob(api, named);
  requireWaiting(job);
  const order = await fetchOrder(api, job.id);
  const orderOptions = readOrderOptions(options, jobConfirm);
  const preparation = await prepareOrder(context, job.serverId, jobConfirm, options.key);
  const wanted = confirmation(job.id, order.authorization);
  return orderAndFollow(context, preparation, wanted, orderOptions, options.detach === true);
}

/** Says at once what the agent would say; it is asked where the control plane does not know. */
function requireWaiting(job: JobBody): void {
  const show = { label: 'see how it stands', command: shell`intervene jobs show ${job.name}` };
  if (job.mode !== 'apply' || findAction(job.action)?.guarded !== true) {
    throw usageError(`${job.name} (${job.action}) waits for no confirmation.`, [show]);
  }
  if (!isFinal(job.state)) return;
  throw new CliError({
    code: 'nothing_to_confirm',
    happened: `${job.name} has ended: ${jobStateTexts[job.state].word.toLowerCase()}${job.reason === null ? '' : `, ${job.reason}`}.`,
    safe: 'Nothing was ordered.',
    next: [show],
    exitStatus: exitStatus.failed,
  });
}

/** `jobs take-over JOB`: a lead answers for what somebody else ordered. */
export async function takeOverJob(context: CommandContext, [named = '']: string[]): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const job = await api.post<JobBody>(`/api/v1/jobs/${reference(named)}/take-over`, {});
  if (terminal.json) {
    terminal.printJson(job);
    return;
  }
  terminal.say(glyph('ok', '✓'), `${job.name} is yours now, ordered by ${job.orderedBy ?? '-'}`);
  terminal.sayNext(shell`intervene logs ${job.name} --follow`);
  terminal.sayNext(shell`intervene jobs cancel ${job.name}`, { label: 'Stop' });
}

export async function abandonJob(
  context: CommandContext,
  [named = '']: string[],
  options: { yes?: boolean },
): Promise<number> {
  const { terminal } = context;
  const api = await context.api();
  const before = await getJob(api, named);
  if (!options.yes) {
    terminal.say(
      'The job itself is not stopped by this; only nobody waits for its answer any more.',
    );
    const agreed = await context.prompt.confirm(
      [`Close ${before.name} without an answer?`],
      '--yes',
    );
    if (!agreed) return exitStatus.stopped;
  }
  const job = await api.post<JobBody>(`/api/v1/jobs/${reference(before.id)}/abandon`, {});
  if (terminal.json) terminal.printJson(job);
  else
    terminal.say(
      glyph('ok', '✓'),
      `${job.name} is closed; a later receipt of the agent corrects it`,
    );
  return exitStatus.succeeded;
}

async function nameOf(api: ApiClient, job: string): Promise<string> {
  return (await getJob(api, job)).name;
}

/** What the action says it found or did, one fact a line; lists and the like stay JSON. */
function resultFacts(result: unknown): (readonly [string, string])[] {
  if (result === null || result === undefined) return [['result', '-']];
  if (typeof result !== 'object' || Array.isArray(result)) return [['result', valueText(result)]];
  return Object.entries(result).map(
    ([name, value]) => [`result: ${name}`, valueText(value)] as const,
  );
}

/** A refused job may need somebody else to act. */
function byWhom(step: NextStep | undefined): { who?: string } {
  return step?.byOther ? { who: 'the client' } : {};
}

export function getJob(api: ApiClient, named: string): Promise<JobBody> {
  return api.get<JobBody>(`/api/v1/jobs/${reference(named)}`);
}

function verifiedText(job: JobBody): string {
  if (job.log.verified === null) return '';
  return job.log.verified
    ? ', digest as the agent signed it'
    : ', DIFFERS from what the agent signed';
}
