import { shell } from '../../../proto/documents/command-text.ts';
import type { AccountBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { printTable } from '../output/table.ts';
import { glyph } from '../output/terminal.ts';

export async function addAccount(context: CommandContext, [name = '']: string[]): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const account = await api.post<AccountBody>('/api/v1/accounts', { name });
  if (terminal.json) {
    terminal.printJson(account);
    return;
  }
  terminal.printName(account.id);
  terminal.say(glyph('ok', '✓'), `account ${account.name}`);
  terminal.sayNext(shell`intervene servers add SERVER --account ${account.name}`);
}

export async function listAccounts(context: CommandContext): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const items = await api.list<AccountBody>('/api/v1/accounts');
  if (terminal.json) {
    terminal.printJson({ items, next: null });
    return;
  }
  printTable(
    terminal,
    [
      { title: 'NAME', cell: (account) => account.name },
      { title: 'CREATED', cell: (account) => account.createdAt },
      { title: 'ID', cell: (account) => account.id, keep: true },
    ],
    items,
  );
  if (items.length === 0) {
    terminal.sayNext('intervene accounts add NAME', { after: 'No account yet.' });
  }
}
