import { shell } from '../../../proto/documents/command-text.ts';
import { findAction } from '../../../proto/actions/catalogue.ts';
import { orderClass } from '../../../proto/documents/coverage.ts';
import { addSignature, readUnverified } from '../../../proto/documents/document.ts';
import { readGivenReference } from '../../../proto/documents/given-reference.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import { reference } from '../api/api-client.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { GrantBody, JobBody, JobDocumentsBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { requireCertified } from '../orders/prepare-order.ts';
import { readPlan } from '../orders/read-plan.ts';
import { valueText } from '../orders/plan-view.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatClock, formatDuration } from '../output/time-text.ts';
import { fetchCertifications } from '../trust/certifications.ts';
import { getJob } from './jobs.ts';
import { showPlan } from './plan.ts';

export interface ApproveOptions {
  order?: string;
  yes?: boolean;
  key?: string;
}

/** The order as it came: what is shown and what is signed are these bytes. */
interface Shown {
  job: JobBody;
  order: Order;
  digest: string;
  envelope: Uint8Array;
  plan: string | null;
}

/**
 * `intervene approve JOB`: shows an order that waits for another engineer, all of it, with its plan, and signs
 * the very bytes that were shown.
 */
export async function approve(
  context: CommandContext,
  [named = '']: string[],
  options: ApproveOptions,
): Promise<void> {
  const { terminal } = context;
  if (options.yes && options.order === undefined) {
    throw usageError(
      '--yes needs --order DIGEST, the order you have read.',
      [{ label: 'read it', command: shell`intervene approve ${named}` }],
      'needs_order',
    );
  }
  const api = await context.api();
  const keys = await context.keys();
  const keyName = options.key ?? 'engineer';
  const own = keys.publicPart(keyName)?.key;
  const shown = await fetchOrder(api, named);
  requireNamedOrder(shown, options.order);
  const certifications = await fetchCertifications(api);
  requireCertified(context, own, certifications, keyName);
  if (own !== undefined) requireOthers(shown, keyFingerprint(own));
  await show(context, api, shown);
  if (!options.yes) await confirm(context, shown);
  const signed = addSignature(shown.envelope, await keys.open(keyName));
  const job = await api.post<JobBody>(`/api/v1/jobs/${reference(shown.job.id)}/approve`, {
    order: Buffer.from(signed).toString('base64'),
  });
  if (terminal.json) {
    terminal.printJson(job);
    return;
  }
  terminal.say(
    glyph('ok', '✓'),
    job.state === 'proposed'
      ? `${job.name} is signed by ${job.signedBy.join(' and ')}; ${job.engineersNeeded} are needed.`
      : `${job.name} is signed by ${job.signedBy.join(' and ')}, and on its way to ${job.serverName}.`,
  );
  terminal.sayNext(shell`intervene logs ${job.name} --follow`);
}

async function fetchOrder(api: ApiClient, named: string): Promise<Shown> {
  const job = await getJob(api, named);
  const documents = await api.get<JobDocumentsBody>(`/api/v1/jobs/${reference(job.id)}/documents`);
  const envelope = Buffer.from(documents.order, 'base64');
  const { payload: order, digest } = readUnverified('order', envelope);
  if (order.job !== job.id) {
    throw new CliError({
      code: 'order_mismatch',
      happened: `The control plane shows the order of another job than ${job.name}.`,
      safe: 'Nothing was signed.',
      exitStatus: exitStatus.refused,
    });
  }
  if (job.state !== 'proposed') {
    throw new CliError({
      code: 'job_not_proposed',
      happened: `${job.name} waits for nobody's signature: it is ${job.state}.`,
      safe: 'Nothing was signed.',
      next: [{ label: 'see it', command: shell`intervene jobs show ${job.name}` }],
      exitStatus: exitStatus.refused,
    });
  }
  return { job, order, digest, envelope, plan: documents.plan };
}

/** With `--order`, whoever runs this has read exactly that one. */
function requireNamedOrder({ digest, job }: Shown, named: string | undefined): void {
  if (named === undefined) return;
  const hash = digest.replace(/^sha256:/, '');
  const wanted = named.replace(/^sha256:/, '').toLowerCase();
  if (wanted.length >= 6 && hash.startsWith(wanted)) return;
  throw new CliError({
    code: 'order_mismatch',
    happened: `The order of ${job.name} is ${digest}, not the one you named.`,
    safe: 'Nothing was signed.',
    next: [{ label: 'read it', command: shell`intervene approve ${job.name}` }],
    exitStatus: exitStatus.refused,
  });
}

function requireOthers({ envelope, job }: Shown, own: string): void {
  if (!readUnverified('order', envelope).keyids.includes(own)) return;
  throw new CliError({
    code: 'order_is_own',
    happened: `You signed the order of ${job.name} yourself: another engineer has to approve it.`,
    safe: 'Nothing was signed.',
    next: [{ label: 'who may', command: 'intervene engineers list' }],
    exitStatus: exitStatus.refused,
  });
}

async function show(context: CommandContext, api: ApiClient, shown: Shown): Promise<void> {
  const { terminal } = context;
  const { job, order, digest } = shown;
  const action = findAction(order.action);
  if (action === undefined) {
    throw new CliError({
      code: 'action_unknown',
      happened: `This program does not know ${order.action}, so it cannot show what it does.`,
      safe: 'Nothing was signed.',
      exitStatus: exitStatus.refused,
    });
  }
  const plan = shown.plan === null || order.plan === null ? null : readPlan(shown.plan, order.plan);
  if (order.plan !== null && plan === null) {
    throw new CliError({
      code: 'plan_missing',
      happened: `The plan that the order of ${job.name} names is not here.`,
      safe: 'Nothing was signed.',
      exitStatus: exitStatus.refused,
    });
  }
  if (terminal.json) return;
  const grant =
    job.grantId === null ? null : await api.get<GrantBody>(`/api/v1/grants/${job.grantId}`);
  const server =
    grant?.servers.find(({ id }) => id === order.server)?.name ?? `not named by the authorization`;
  const actionClass = orderClass(action, order.mode);
  const lines: (readonly [string, string])[] = [
    ['order', digest],
    ['action', `${order.action}, ${order.mode}, class ${actionClass}: ${action.sentence}`],
    ['server', `${server}  ${order.server}`],
    ...Object.entries(order.parameters).map(([name, value]) => [name, valueText(value)] as const),
    ...Object.entries(order.sealedInputs).map(([name, text]) => [name, secretText(text)] as const),
    ...(order.undoes === null ? [] : [['takes back', `job ${order.undoes}`] as const]),
    ['reason', order.reason === '' ? '-' : order.reason],
    ['permitted by', grant === null ? 'nobody' : permissionText(grant)],
    ['runs at most', formatDuration(order.maxRuntimeSeconds * 1000)],
    ['signed by', `${job.signedBy.join(', ')}; ${job.engineersNeeded} are needed`],
    ['must start', startText(context, order)],
  ];
  terminal.say(styled('bold', `${job.name}`), ` waits for your signature.`);
  const width = Math.max(...lines.map(([name]) => name.length));
  for (const [name, value] of lines) terminal.say(`  ${name.padEnd(width)}  ${value}`);
  if (plan !== null) await showPlan(context, plan, action, server, 'talk', job.name);
}

function secretText(input: string): string {
  const digest = readGivenReference(input);
  return digest === null ? 'a secret, sealed' : `a secret that the client gave, ${digest}`;
}

function permissionText(grant: GrantBody): string {
  const what = grant.kind === 'grant' ? "the client's signature" : 'an attestation of the ticket';
  return `G-${grant.number}, ${what}, ticket ${grant.ticket}`;
}

function startText(context: CommandContext, order: Order): string {
  const { surroundings } = context;
  const at = order.startBefore * 1000;
  const left = Math.max(0, at - surroundings.now());
  return `before ${formatClock(at, surroundings.timeZone)}, in ${formatDuration(left)}`;
}

async function confirm(context: CommandContext, { job, digest }: Shown): Promise<void> {
  const answer = await context.prompt.ask(
    ["Type the server's name ", styled('bold', job.serverName), ' to sign this order: '],
    `--yes --order ${digest}`,
  );
  if (answer.trim() === job.serverName) return;
  throw new CliError({
    code: 'not_confirmed',
    happened: 'You did not confirm; nothing was signed.',
    exitStatus: exitStatus.stopped,
  });
}
