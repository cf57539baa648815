import { shell } from '../../../proto/documents/command-text.ts';
import { reference } from '../api/api-client.ts';
import type { CredentialBody } from '../api/bodies.ts';
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { printTable } from '../output/table.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Piece } from '../output/terminal.ts';
import { formatAge } from '../output/time-text.ts';
import { signRevocation } from './revoke.ts';

/** `C-101`, `101`, an id, or the end of one. */
export function credentialReference(named: string): string {
  return reference(named.replace(/^[Cc]-(?=\d+$)/, ''));
}

export function requireClient(context: CommandContext, happened: string): void {
  const { role } = context.profile.require().person;
  if (role === 'client') return;
  throw new CliError({
    code: 'not_a_client',
    happened: `${happened} You are logged in with the role ${role}.`,
    next: [{ label: 'see who you are here', command: 'intervene whoami' }],
    exitStatus: exitStatus.refused,
  });
}

const states: Record<CredentialBody['state'], Piece> = {
  usable: styled('ok', 'usable'),
  withdrawn: styled('stop', 'withdrawn'),
  ended: styled('idle', 'ended'),
  unopened: styled('warn', 'not opened'),
  opened: styled('ok', 'opened'),
};

/** `credentials list`: which secrets there are, for whom, and whether they were opened; never what they are. */
export async function listCredentials(
  context: CommandContext,
  _args: string[],
  options: { server?: string; job?: string; all?: boolean },
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const job = options.job?.replace('/', '.');
  const found = await api.list<CredentialBody>('/api/v1/credentials', {
    server: options.server,
    job,
  });
  const isOver = ({ state }: CredentialBody) => state === 'ended' || state === 'withdrawn';
  const items = options.all ? found : found.filter((item) => !isOver(item));
  if (terminal.json) {
    terminal.printJson({ items, next: null });
    return;
  }
  const now = context.surroundings.now();
  const age = (at: string) => formatAge(now - Date.parse(at));
  printTable(
    terminal,
    [
      { title: '#', cell: (item) => `C-${item.number}`, keep: true },
      { title: 'NAME', cell: (item) => item.name },
      { title: 'SERVER', cell: (item) => item.serverName },
      { title: 'FROM', cell: fromText },
      { title: 'FOR', cell: forText },
      { title: 'STATE', cell: (item) => states[item.state] },
      { title: 'AGE', cell: (item) => age(item.createdAt), plain: (item) => item.createdAt },
      {
        title: 'OPENED',
        cell: ({ openedAt, openedBy }) =>
          openedAt === null ? '-' : `${age(openedAt)} ago by ${openedBy ?? '-'}`,
        plain: ({ openedAt }) => openedAt ?? '-',
      },
    ],
    items,
  );
  if (found.length > items.length) {
    terminal.say(`${items.length} of ${found.length} · those that are over: --all`);
  }
  const isClient = context.profile.require().person.role === 'client';
  const waiting = items.find(({ state }) => state === 'unopened');
  if (isClient && waiting !== undefined) {
    terminal.sayNext(shell`intervene credentials open C-${waiting.number}`);
  }
}

function fromText({ kind, jobName, createdBy }: CredentialBody): string {
  return kind === 'made' ? `job ${jobName}` : (createdBy ?? '-');
}

function forText({ kind, action, grantNumber, orders }: CredentialBody): string {
  if (kind === 'made') return 'the client';
  const used = orders === 0 ? 'not used' : `in ${orders} ${orders === 1 ? 'order' : 'orders'}`;
  return `${action}, G-${grantNumber}, ${used}`;
}

/**
 * `credentials withdraw CREDENTIAL`: what was given is used no more. It goes out unsigned first, as a revocation
 * does; with the client's signature agents remember it whatever the control plane says later.
 */
export async function withdrawCredential(
  context: CommandContext,
  [named = '']: string[],
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const path = `/api/v1/credentials/${credentialReference(named)}`;
  const { id, number, accountId, state } = await api.get<CredentialBody>(path);
  const isNew = state !== 'withdrawn';
  await api.post('/api/v1/revocations', { credential: id });
  if (!terminal.json) {
    terminal.say(
      glyph('ok', '✓'),
      isNew
        ? `C-${number} is withdrawn: it goes into no new job, and is not kept here any more.`
        : `C-${number} was withdrawn already.`,
    );
  }
  const signed = await signRevocation(context, { id, accountId }, { afterStep: true, reason: '' });
  if (terminal.json) {
    terminal.printJson(await api.get<CredentialBody>(path));
    return;
  }
  terminal.say(
    signed
      ? 'Your signature went with it: the agent remembers it.'
      : 'Not signed: no key of the account opens here. Agents obey it all the same.',
  );
  terminal.say('What an agent was given before, it knows: change it where that matters.');
}
