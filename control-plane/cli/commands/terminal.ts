import { terminalOpen, terminalOpenParameters } from '../../../proto/actions/terminal.ts';
import type { TerminalOpenParameters } from '../../../proto/actions/terminal.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { generateSessionKey } from '../../../proto/terminal/session-keys.ts';
import { reference } from '../api/api-client.ts';
import type { JobBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { reportOutcome } from '../jobs/outcome-card.ts';
import { confirmOrder } from '../orders/confirm-order.ts';
import { orderJob, type OrderedJob } from '../orders/order-job.ts';
import { readOrderOptions } from '../orders/order-options.ts';
import type { RawOrderOptions } from '../orders/order-options.ts';
import { prepareOrder } from '../orders/prepare-order.ts';
import { isFinal } from '../output/job-states.ts';
import { glyph, styled } from '../output/terminal.ts';
import { parseDuration } from '../output/time-text.ts';
import { openSession } from '../terminal/open-session.ts';
import { RawScreen, screenSize } from '../terminal/raw-screen.ts';
import { TerminalClient } from '../terminal/terminal-client.ts';
import type { TerminalOver } from '../terminal/terminal-client.ts';

export interface TerminalOptions extends RawOrderOptions {
  user?: string;
  idle?: string;
  yes?: boolean;
}

/** How long the end of a terminal may take to be known here. */
const END_WITHIN_SECONDS = 10;

/** `intervene terminal SERVER`: a shell on the server, in this terminal; exits with its status. */
export async function terminal(
  context: CommandContext,
  [server = '']: string[],
  options: TerminalOptions,
): Promise<number> {
  requirePerson(context, server);
  const orderOptions = readOrderOptions(options, terminalOpen);
  const own = generateSessionKey();
  const parameters = readParameters(context, options, own.public);
  const preparation = await prepareOrder(context, server, terminalOpen, options.key);
  const { name } = preparation.server;
  await confirmOrder(context, {
    action: terminalOpen,
    class: terminalOpen.class,
    server: name,
    yes: options.yes === true,
    planNamed: false,
    what: `Open a terminal as ${parameters.user} on ${name}`,
  });
  const wanted = {
    action: terminalOpen,
    mode: 'apply' as const,
    parameters,
    plan: null,
    undoes: null,
    target: null,
  };
  const ordered = await orderJob(context, preparation, wanted, orderOptions);
  const left = new AbortController();
  const stopListening = context.surroundings.onInterrupt(() => left.abort());
  try {
    const opened = await openSession(preparation.api, ordered, own, left.signal);
    if (opened.keys === null) return await report(context, opened.job, ordered);
    sayWhere(context, ordered.job, name, preparation.agent.keyFingerprint);
    const screen = new RawScreen(context.surroundings, context.terminal);
    let over: TerminalOver;
    try {
      const client = new TerminalClient(preparation.api, opened.job, opened.keys, screen);
      left.signal.addEventListener('abort', () => client.leave());
      over = await client.run();
    } finally {
      screen.restore();
    }
    return await conclude(context, over, ordered);
  } catch (error) {
    if (!left.signal.aborted) throw error;
    context.terminal.say('Left before it opened.');
    context.terminal.sayNext(shell`intervene jobs cancel ${ordered.job.name}`);
    return exitStatus.left;
  } finally {
    stopListening();
  }
}

function requirePerson(context: CommandContext, server: string): void {
  const { surroundings, terminal: own } = context;
  const instead = {
    label: 'to run one command',
    command: shell`intervene run ${server} command.run -- COMMAND`,
  };
  if (own.json) throw usageError('A terminal has no JSON.', [instead]);
  if (surroundings.stdin.isTTY !== true || !own.outIsTty) {
    throw usageError('A terminal needs a person at a terminal, on both ends.', [instead], 'no_tty');
  }
}

function readParameters(
  context: CommandContext,
  { user, idle }: TerminalOptions,
  sessionKey: string,
): TerminalOpenParameters {
  const { stdout, term } = context.surroundings;
  const idleSeconds = idle === undefined ? undefined : parseDuration(idle);
  const parsed = terminalOpenParameters.safeParse({
    sessionKey,
    ...(user !== undefined && { user }),
    ...(idleSeconds !== undefined && { idleSeconds }),
    ...(term !== undefined && /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(term) && { term }),
    ...screenSize(stdout),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.path[0] === 'idleSeconds') {
    throw usageError(`--idle ${idle}: a time such as 5m or 1h, from 10s to 24h.`);
  }
  throw usageError(`${String(issue?.path[0])}: ${issue?.message}`);
}

function sayWhere(context: CommandContext, job: JobBody, server: string, agentKey: string): void {
  const { terminal: own } = context;
  own.say(
    glyph('ok', '✓'),
    styled('bold', `Open on ${server}`),
    ` · ${job.name} · recorded · the client may watch and end it · ~? for help`,
  );
  own.say(styled('muted', `Sealed to the agent ${agentKey}`));
}

async function conclude(
  context: CommandContext,
  over: TerminalOver,
  ordered: OrderedJob,
): Promise<number> {
  const { terminal: own } = context;
  const isLeftOpen = over.by === 'fault' || over.by === 'left';
  const job = await awaitEnd(context, ordered.job, isLeftOpen);
  if (over.by === 'fault') {
    throw new CliError({
      code: over.error.fault,
      happened: `What came back is not what the agent sent: ${over.error.message}.`,
      safe: 'The session was left at once. Nobody else can type into it.',
      next: [{ label: 'end it now', command: shell`intervene jobs cancel ${job.name}` }],
    });
  }
  if (!isFinal(job.state)) {
    own.say('The terminal is not closed yet.');
    own.sayNext(shell`intervene jobs show ${job.name}`);
    return over.by === 'agent' ? statusOf(over) : exitStatus.left;
  }
  if (job.state !== 'succeeded') return report(context, job, ordered);
  own.say(glyph('ok', '✓'), `Closed · ${job.name} · recorded`);
  own.sayNext(shell`intervene logs ${job.name}`);
  if (over.by === 'agent') return statusOf(over);
  return job.exitStatus ?? exitStatus.succeeded;
}

/** As if the shell had run here; what ended it otherwise is told by its own status. */
function statusOf({ exitStatus: status, reason }: Extract<TerminalOver, { by: 'agent' }>): number {
  if (reason === 'shell_ended') return status ?? exitStatus.failed;
  if (reason === 'closed') return exitStatus.succeeded;
  return reason === 'tampered' ? exitStatus.failed : exitStatus.stopped;
}

/** The job with its end, or as it is when the end takes too long to arrive. */
async function awaitEnd(
  context: CommandContext,
  job: JobBody,
  isLeftOpen: boolean,
): Promise<JobBody> {
  const api = await context.api();
  try {
    // The agent could not be told by a frame that this side has gone for good.
    if (isLeftOpen) await api.post(`/api/v1/jobs/${reference(job.id)}/cancel`, { mode: 'now' });
    const options = { waitSeconds: END_WITHIN_SECONDS };
    return await api.get<JobBody>(`/api/v1/jobs/${reference(job.id)}`, {}, options);
  } catch {
    return job;
  }
}

function report(context: CommandContext, job: JobBody, ordered: OrderedJob): Promise<number> {
  const followed = { job, missingBytes: 0, surplusBytes: 0, digest: null };
  return reportOutcome(context, followed, ordered);
}
