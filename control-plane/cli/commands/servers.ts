import { shell } from '../../../proto/documents/command-text.ts';
import { reference } from '../api/api-client.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { ServerBody } from '../api/bodies.ts';
import { ResponseError } from '../api/response-error.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { agentStateTexts } from '../output/job-states.ts';
import { suggest } from '../output/suggestion.ts';
import { printFacts, printTable } from '../output/table.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Piece } from '../output/terminal.ts';
import { formatAge } from '../output/time-text.ts';
import { findAccount } from './people.ts';

export interface AddServerOptions {
  account?: string;
  serviceId?: string;
  address?: string[];
}

export async function addServer(
  context: CommandContext,
  [name = '']: string[],
  options: AddServerOptions,
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const ownAccount = context.profile.require().person.accountId;
  if (options.account === undefined && ownAccount === null) {
    throw usageError(
      'It has to be said whose server it is: --account NAME.',
      [{ label: 'see the accounts', command: 'intervene accounts list' }],
      'account_missing',
    );
  }
  const account =
    options.account === undefined ? ownAccount : (await findAccount(context, options.account)).id;
  const server = await api.post<ServerBody>('/api/v1/servers', {
    name,
    account,
    ...(options.serviceId !== undefined && { serviceId: options.serviceId }),
    ...(options.address && { addresses: options.address }),
  });
  if (terminal.json) {
    terminal.printJson(server);
    return;
  }
  terminal.printName(server.id);
  terminal.say(glyph('ok', '✓'), `server ${server.name} of ${server.accountName}`);
  // Enrolling is the owner's: their policy, and their keys to be trusted.
  terminal.sayNext(
    shell`intervene enroll ${server.name} --mode resident`,
    ownAccount === null ? { who: 'the client' } : {},
  );
}

export async function listServers(context: CommandContext): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const items = await api.list<ServerBody>('/api/v1/servers');
  if (terminal.json) {
    terminal.printJson({ items, next: null });
    return;
  }
  const now = context.surroundings.now();
  printTable(
    terminal,
    [
      { title: 'SERVER', cell: (server) => server.name },
      {
        title: 'AGENT',
        cell: (server) => agentCell(server, true),
        plain: (server) => server.agent?.state ?? 'none',
      },
      { title: 'MODE', cell: (server) => server.agent?.mode ?? '-' },
      {
        title: 'SEEN',
        cell: (server) => ageOf(server.agent?.lastSeenAt ?? null, now),
        plain: (server) => server.agent?.lastSeenAt ?? '-',
      },
      { title: 'ACCOUNT', cell: (server) => server.accountName },
      { title: 'SERVICE', cell: (server) => server.serviceId ?? '-' },
    ],
    items,
  );
  if (items.length === 0) {
    terminal.sayNext('intervene servers add NAME', { after: 'No server yet.' });
  }
}

export async function showServer(context: CommandContext, [named = '']: string[]): Promise<void> {
  const { terminal } = context;
  const server = await findServer(await context.api(), named);
  if (terminal.json) {
    terminal.printJson(server);
    return;
  }
  const { agent } = server;
  printFacts(terminal, [
    ['server', server.name],
    ['account', server.accountName],
    ['service', server.serviceId ?? '-'],
    ['addresses', server.addresses.join(', ') || '-'],
    ['id', server.id],
    [
      'identity',
      server.identity === null
        ? 'not confirmed'
        : `confirmed by ${server.identity.confirmedBy ?? '-'} ${server.identity.confirmedAt}`,
    ],
    ['agent', agentCell(server, terminal.outIsTty)],
    ...(agent === null
      ? []
      : ([
          ['mode', agent.mode],
          ['version', agent.version],
          ['locked', agent.locked ? 'yes, by its local administrator' : 'no'],
          ['last seen', agent.lastSeenAt ?? 'never'],
          ['key', agent.keyFingerprint],
          ['actions', agent.actions.map((action) => action.id).join(', ')],
          ...Object.entries(agent.facts).map(([name, value]) => [name, factText(value)] as const),
        ] as const)),
  ]);
}

/** The server of a name or id. An unknown name gives one suggestion, exit status 2. */
export async function findServer(api: ApiClient, named: string): Promise<ServerBody> {
  try {
    return await api.get<ServerBody>(`/api/v1/servers/${reference(named)}`);
  } catch (error) {
    if (!(error instanceof ResponseError) || error.status !== 404) throw error;
    const servers = await api.list<ServerBody>('/api/v1/servers');
    const meant = suggest(
      named,
      servers.map((server) => server.name),
    );
    throw new CliError({
      code: 'server_not_found',
      happened: `There is no server ${JSON.stringify(named)}.${meant === null ? '' : ` Did you mean ${meant}?`}`,
      next: [{ label: 'see all', command: 'intervene servers list' }],
      exitStatus: exitStatus.usage,
      cause: error,
    });
  }
}

function agentCell({ agent }: ServerBody, withSign: boolean): Piece {
  if (agent === null) return styled('idle', 'none');
  const { glyph: sign, word, style } = agentStateTexts[agent.state];
  return styled(style, `${withSign ? `${sign} ` : ''}${word}${agent.locked ? ', locked' : ''}`);
}

/** `4 s ago`, or a dash for never. */
export function ageOf(time: string | null, now: number): string {
  return time === null ? '-' : `${formatAge(now - Date.parse(time))} ago`;
}

function factText(value: unknown): string {
  if (typeof value === 'string') return value;
  return Array.isArray(value) ? value.map(String).join(', ') : JSON.stringify(value);
}
