import { setTimeout as sleep } from 'node:timers/promises';
import { actions } from '../../../proto/actions/catalogue.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import type { ApiClient } from '../api/api-client.ts';
import { reference } from '../api/api-client.ts';
import type { AgentBody, DocumentBody, EnrollmentBody, ServerBody } from '../api/bodies.ts';
import { CliError, UnreachableError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { withStatus } from '../output/status-line.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatClock, formatElapsed } from '../output/time-text.ts';
import { allowedActions } from '../trust/grant-limits.ts';
import { installLine } from './install-line.ts';
import type { Pins, PolicyChoice } from './install-line.ts';
import { isOwnInstaller } from './own-installer.ts';
import { findServer } from './servers.ts';

export interface EnrollOptions extends PolicyChoice {
  mode: 'resident' | 'rescue';
  /** Whether to wait for the agent; on a terminal it does by itself. */
  wait?: boolean;
}

const POLL_MS = 1000;

/** `intervene enroll SERVER`: prints the install line, and waits until the agent has connected. */
export async function enroll(
  context: CommandContext,
  [named = '']: string[],
  options: EnrollOptions,
): Promise<number> {
  const { terminal, surroundings } = context;
  // Before a line is made, which ends an earlier one.
  allowedActions(options.allow ?? [], [], actions);
  const api = await context.api();
  const server = await findServer(api, named);
  const enrollment = await api.post<EnrollmentBody>(
    `/api/v1/servers/${reference(server.id)}/enrollments`,
    { mode: options.mode },
  );
  const { pins, trusted } = await choosePins(context, api, server, enrollment);
  if (context.profile.require().rootDigest === null) {
    context.profile.update({ rootDigest: pins.root });
  }
  const line = installLine(enrollment, pins, options);
  const expiresAt = Date.parse(enrollment.expiresAt);
  if (terminal.json) {
    terminal.printJson({
      ...enrollment,
      rootDigest: pins.root,
      accountKeysDigest: pins.accountKeys,
      installLine: line,
    });
  } else {
    const until = formatClock(expiresAt, surroundings.timeZone);
    terminal.say(
      `Run on ${server.name} as root (until ${until}, once; an earlier line of yours for it ends):`,
    );
    terminal.print(line);
    terminal.say(
      'Installs a service that dials out and opens no port. It prints what it trusts, and asks.',
    );
    if (options.allow === undefined && options.highestClass === undefined) {
      terminal.say(
        'Its local policy will let orders look, no more: see --allow and --highest-class.',
      );
    }
    for (const warning of trusted) terminal.say(glyph('warn', '!'), styled('warn', warning));
  }
  const waits = options.wait ?? (terminal.talkIsTty && !terminal.json);
  if (!waits) return exitStatus.succeeded;
  return waitForAgent(context, api, server, expiresAt);
}

/**
 * The digests the server shall trust: this profile's own where it has pinned them; a control plane that
 * names others is refused. What is not pinned comes from the control plane, and the person is told.
 */
async function choosePins(
  context: CommandContext,
  api: ApiClient,
  server: ServerBody,
  enrollment: EnrollmentBody,
): Promise<{ pins: Pins; trusted: string[] }> {
  const profile = context.profile.require();
  const ownKeys = profile.person.role === 'client' ? profile.accountKeysDigest : null;
  refuseOther('operator root', profile.rootDigest, enrollment.rootDigest);
  refuseOther('account keys', ownKeys, enrollment.accountKeysDigest);
  const root = profile.rootDigest ?? enrollment.rootDigest;
  const accountKeys = ownKeys ?? enrollment.accountKeysDigest ?? (await firstKeys(api, server));
  if (root === null) {
    throw missing('There is no operator root yet.', 'a lead makes it', 'intervene init');
  }
  if (accountKeys === null) {
    throw missing(
      `The account ${server.accountName} has no keys yet: nobody could authorize anything.`,
      'the client makes them',
      'intervene keys create',
    );
  }
  const trusted = [
    ...(!context.profile.hasKey('root')
      ? [
          'The digest of the operator root comes from the control plane; compare it with your provider.',
        ]
      : []),
    ...(ownKeys === null
      ? ['The digest of the account keys comes from the control plane; compare it with the client.']
      : []),
    ...(isOwnInstaller(enrollment.installerDigest)
      ? []
      : [
          'The installer is not the one built with this program: it comes from the control plane, like its digest.',
        ]),
  ];
  return { pins: { root, accountKeys }, trusted };
}

async function firstKeys(api: ApiClient, server: ServerBody): Promise<string | null> {
  const chain = await api.list<DocumentBody>(
    `/api/v1/accounts/${reference(server.accountId)}/keys`,
  );
  return chain.find((document) => document.version === 1)?.digest ?? null;
}

function refuseOther(what: string, own: string | null, named: string | null): void {
  if (own === null || named === null || own === named) return;
  throw new CliError({
    code: 'pin_mismatch',
    happened: `The control plane names another ${what} (${named}) than the one pinned here (${own}).`,
    safe: 'No install line was made from it. Do not enroll servers before you know why.',
    next: [{ label: 'see what this profile has pinned', command: 'intervene whoami' }],
    exitStatus: exitStatus.refused,
  });
}

function missing(happened: string, label: string, command: string): CliError {
  return new CliError({
    code: 'trust_missing',
    happened,
    safe: 'The token that was made runs out by itself.',
    next: [{ label, command }],
    exitStatus: exitStatus.refused,
  });
}

async function waitForAgent(
  context: CommandContext,
  api: ApiClient,
  server: ServerBody,
  expiresAt: number,
): Promise<number> {
  const { terminal, surroundings } = context;
  const left = new AbortController();
  const stopListening = surroundings.onInterrupt(() => left.abort());
  try {
    const agent = await withStatus(
      terminal,
      surroundings,
      (elapsed) => `waiting for ${server.name} …   (Ctrl-C is safe)   ${formatElapsed(elapsed)}`,
      () => pollForAgent(context, api, server, expiresAt, left.signal),
    );
    if (agent === null) {
      throw new CliError({
        code: 'enrollment_expired',
        happened: `${server.name} did not enroll in time; the line is of no use any more.`,
        next: [
          {
            label: 'make a new one',
            command: shell`intervene enroll ${server.name} --mode resident`,
          },
        ],
        exitStatus: exitStatus.unreachable,
      });
    }
    terminal.say(glyph('ok', '✓'), `connected, agent ${agent.version}`);
    terminal.say(`Compare with what the installer printed: ${agent.keyFingerprint}`);
    terminal.sayNext(
      shell`intervene authorize ${server.name} --ticket T --actions 'filesystem.check'`,
      context.profile.require().person.role === 'client' ? {} : { who: 'the client' },
    );
    return exitStatus.succeeded;
  } catch (error) {
    if (!left.signal.aborted) throw error;
    terminal.say(`Not waiting any more. ${server.name} can still enroll with this line.`);
    terminal.sayNext(shell`intervene servers show ${server.name}`);
    return exitStatus.left;
  } finally {
    stopListening();
  }
}

async function pollForAgent(
  context: CommandContext,
  api: ApiClient,
  server: ServerBody,
  expiresAt: number,
  signal: AbortSignal,
): Promise<AgentBody | null> {
  for (;;) {
    const agent = await currentAgent(api, server.id);
    if (agent !== null && agent.id !== server.agent?.id && agent.state === 'connected')
      return agent;
    if (context.surroundings.now() > expiresAt + 30_000) return null;
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** Null also while the control plane restarts: it is asked again. */
async function currentAgent(api: ApiClient, server: string): Promise<AgentBody | null> {
  try {
    return (await api.get<ServerBody>(`/api/v1/servers/${reference(server)}`)).agent;
  } catch (error) {
    if (error instanceof UnreachableError) return null;
    throw error;
  }
}
