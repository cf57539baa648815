import { shell } from '../../../proto/documents/command-text.ts';
import type { AccountBody, InvitationBody, PersonBody } from '../api/bodies.ts';
import { reference } from '../api/api-client.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { suggest } from '../output/suggestion.ts';
import { printTable } from '../output/table.ts';
import { glyph } from '../output/terminal.ts';
import { formatMoment } from '../output/time-text.ts';

export interface InviteOptions {
  role: PersonBody['role'];
  account?: string;
}

/** `intervene people invite NAME`: prints an invitation, good once, that becomes a token at log-in. */
export async function invitePerson(
  context: CommandContext,
  [name = '']: string[],
  options: InviteOptions,
): Promise<void> {
  const { terminal } = context;
  if ((options.role === 'client') !== (options.account !== undefined)) {
    throw usageError(
      options.role === 'client'
        ? 'A client belongs to an account; say which.'
        : 'Only clients belong to an account.',
      [{ label: '', command: shell`intervene people invite ${name} --role client --account NAME` }],
    );
  }
  const api = await context.api();
  const account =
    options.account === undefined ? null : await findAccount(context, options.account);
  const invitation = await api.post<InvitationBody>('/api/v1/people', {
    name,
    role: options.role,
    ...(account && { account: account.id }),
  });
  if (terminal.json) {
    terminal.printJson(invitation);
    return;
  }
  const until = formatMoment(Date.parse(invitation.expiresAt), context.surroundings.timeZone);
  terminal.print(invitation.invitation);
  terminal.say(glyph('ok', '✓'), `invitation for ${name}, good once, until ${until}`);
  terminal.sayNext(shell`intervene login ${context.profile.require().url}`, { who: name });
}

export async function listPeople(context: CommandContext): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const items = await api.list<PersonBody>('/api/v1/people');
  if (terminal.json) {
    terminal.printJson({ items, next: null });
    return;
  }
  printTable(
    terminal,
    [
      { title: 'NAME', cell: (person) => person.name },
      { title: 'ROLE', cell: (person) => person.role },
      { title: 'ACCOUNT', cell: (person) => person.accountId ?? '-' },
      { title: 'ID', cell: (person) => person.id, keep: true },
    ],
    items,
  );
}

export async function removePerson(context: CommandContext, [name = '']: string[]): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  await api.delete(`/api/v1/people/${reference(name)}`);
  if (terminal.json) terminal.printJson({ removed: name });
  else {
    terminal.say(glyph('ok', '✓'), `${name} has no access to the control plane any more`);
    terminal.sayNext(shell`intervene engineers remove ${name}`, {
      label: "An engineer's keys are taken back with",
    });
  }
}

/** The account of a name or id. Throws CliError with one suggestion. */
export async function findAccount(context: CommandContext, named: string): Promise<AccountBody> {
  const api = await context.api();
  const accounts = await api.list<AccountBody>('/api/v1/accounts');
  const found = accounts.find((account) => account.name === named || account.id === named);
  if (found) return found;
  const meant = suggest(
    named,
    accounts.map((account) => account.name),
  );
  throw new CliError({
    code: 'account_not_found',
    happened: `There is no account ${JSON.stringify(named)}.${meant === null ? '' : ` Did you mean ${meant}?`}`,
    next: [{ label: 'see all', command: 'intervene accounts list' }],
    exitStatus: exitStatus.usage,
  });
}
