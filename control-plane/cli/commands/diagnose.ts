import { isDeepStrictEqual } from 'node:util';
import {
  diagnosticAreas,
  diagnosticsResult,
  type DiagnosticsResult,
} from '../../../proto/actions/diagnostics.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { JobBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { compareDiagnoses } from '../diagnosis/compare-diagnoses.ts';
import type { DiagnosisPage } from '../diagnosis/diagnosis-page.ts';
import { printDiagnosis } from '../diagnosis/diagnosis-page.ts';
import { exitStatus } from '../exit-status.ts';
import { followJob, type FollowedJob } from '../jobs/follow-job.ts';
import { QuietLogView } from '../jobs/log-view.ts';
import { reportOutcome } from '../jobs/outcome-card.ts';
import { orderJob, type OrderedJob, type OrderOptions } from '../orders/order-job.ts';
import { readOrderOptions } from '../orders/order-options.ts';
import type { RawOrderOptions } from '../orders/order-options.ts';
import type { Parameters } from '../orders/parameters.ts';
import { prepareOrder, type Preparation } from '../orders/prepare-order.ts';
import { suggest } from '../output/suggestion.ts';
import { requireAction } from './actions.ts';

export interface DiagnoseOptions extends RawOrderOptions {
  area?: string[];
}

const TAIL_LINES = 40;
/** It takes 5 s; the rest is for a machine that is in trouble. */
const RUNTIME_SECONDS = 60;
/** The file systems of disks are checked, too. */
const OFFLINE_RUNTIME_SECONDS = 3600;
/** So many jobs back the last diagnosis is looked for. */
const LOOKED_BACK = 50;

/** `intervene diagnose SERVER`: looks the server over and prints what it finds. Exits 0 when it could look. */
export async function diagnose(
  context: CommandContext,
  [server = '']: string[],
  options: DiagnoseOptions,
): Promise<number> {
  const action = requireAction('diagnostics.collect');
  const areas = readAreas(options.area);
  const parameters = areas === undefined ? {} : { areas };
  const orderOptions = readOrderOptions(options, action);
  const preparation = await prepareOrder(context, server, action, options.key);
  const { followed, ordered, result } = await orderDiagnosis(
    context,
    preparation,
    parameters,
    orderOptions,
  );
  if (followed.job.state !== 'succeeded') return reportOutcome(context, followed, ordered);
  if (result === null) throw unreadable(followed.job);
  const before = await findPrevious(preparation.api, followed.job);
  const previous = before && {
    job: before.job.name,
    difference: compareDiagnoses(before.result, result, areas),
  };
  const page = {
    server: preparation.server.name,
    target: orderOptions.target,
    words: ordered.words,
    job: followed.job.name,
    result,
    previous,
  };
  if (context.terminal.json) printAsJson(context, followed.job, page, before?.job ?? null);
  else printDiagnosis(context.terminal, page);
  return exitStatus.succeeded;
}

export interface Diagnosis {
  followed: FollowedJob;
  ordered: OrderedJob;
  /** Null when the job did not succeed, or says what this program cannot read. */
  result: DiagnosticsResult | null;
}

/** Orders one look and waits for what it finds. */
export async function orderDiagnosis(
  context: CommandContext,
  preparation: Preparation,
  parameters: Parameters,
  options: OrderOptions,
): Promise<Diagnosis> {
  const action = requireAction('diagnostics.collect');
  const { target } = options;
  const usual = target === null ? RUNTIME_SECONDS : OFFLINE_RUNTIME_SECONDS;
  const ordered = await orderJob(
    context,
    preparation,
    { action, mode: 'apply', parameters, plan: null, undoes: null, target },
    { ...options, timeoutSeconds: options.timeoutSeconds ?? usual },
  );
  const { job, order } = ordered;
  const followed = await followJob(context, job, {
    view: new QuietLogView(context.terminal, TAIL_LINES),
    from: { offset: 0 },
    steps: false,
    jsonLines: false,
    maxRuntimeSeconds: order.maxRuntimeSeconds,
  });
  const hasSucceeded = followed.job.state === 'succeeded';
  return { followed, ordered, result: hasSucceeded ? readResult(followed.job) : null };
}

function printAsJson(
  context: CommandContext,
  job: JobBody,
  { previous }: DiagnosisPage,
  before: JobBody | null,
): void {
  const name = ({ rule, subject }: { rule: string; subject: string }) => ({ rule, subject });
  context.terminal.printJson({
    ...job,
    difference: previous && {
      previousJobId: before?.id ?? null,
      new: previous.difference.fresh.map(name),
      gone: previous.difference.gone.map(name),
      same: previous.difference.same.map(name),
    },
  });
}

function readAreas(given: readonly string[] | undefined): string[] | undefined {
  if (given === undefined || given.length === 0) return undefined;
  const areas = given.flatMap((text) => text.split(','));
  for (const area of areas) {
    if (diagnosticAreas.some((known) => known === area)) continue;
    const meant = suggest(area, diagnosticAreas);
    throw usageError(
      `There is no area ${JSON.stringify(area)}.${meant === null ? '' : ` Did you mean ${meant}?`} Areas: ${diagnosticAreas.join(', ')}.`,
    );
  }
  return [...new Set(areas)];
}

/** The newest diagnosis of the server before this one. Jobs come the newest first. */
async function findPrevious(
  api: ApiClient,
  job: JobBody,
): Promise<{ job: JobBody; result: DiagnosticsResult } | null> {
  const query = { server: job.serverId, state: 'succeeded' };
  for (const other of await api.list<JobBody>('/api/v1/jobs', query, LOOKED_BACK)) {
    const isEarlier = other.id !== job.id && other.createdAt <= job.createdAt;
    if (!isEarlier || other.action !== job.action || other.state !== 'succeeded') continue;
    const result = readResult(other);
    if (result !== null && covers(other, job) && isSameTarget(result, readResult(job)))
      return { job: other, result };
  }
  return null;
}

/** Whether the other one looked at all that this one looks at. */
function covers(other: JobBody, job: JobBody): boolean {
  const [before, now] = [other.parameters['areas'], job.parameters['areas']];
  if (!Array.isArray(before)) return true;
  return Array.isArray(now) && now.every((area) => before.includes(area));
}

function isSameTarget(one: DiagnosticsResult, other: DiagnosticsResult | null): boolean {
  return isDeepStrictEqual(one.target ?? null, other?.target ?? null);
}

/** Null when an agent of another version says something this program cannot read. */
function readResult(job: JobBody): DiagnosticsResult | null {
  return diagnosticsResult.safeParse(job.result).data ?? null;
}

function unreadable(job: JobBody): CliError {
  return new CliError({
    code: 'result_unreadable',
    happened: `The agent of ${job.serverName} answered in a form that this program does not know.`,
    safe: 'Nothing was changed.',
    next: [
      { label: 'see what it said', command: shell`intervene jobs show ${job.name} --json` },
      { label: 'compare the versions', command: shell`intervene servers show ${job.serverName}` },
    ],
    exitStatus: exitStatus.failed,
  });
}
