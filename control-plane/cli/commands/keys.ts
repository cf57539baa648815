import { shell } from '../../../proto/documents/command-text.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import { usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { printTable } from '../output/table.ts';
import { glyph } from '../output/terminal.ts';
import { refuseDataFolder } from '../profile/profile.ts';
import { createAccountKey } from '../trust/account-keys.ts';
import type { AccountKeyOptions } from '../trust/account-keys.ts';

export interface CreateKeyOptions extends AccountKeyOptions {
  name?: string;
  passphrase?: boolean;
}

/**
 * `keys create`: for an engineer a key that a lead certifies; for a client a signing key of the account, and
 * with the first one a recovery key on paper.
 */
export async function createKey(
  context: CommandContext,
  _args: string[],
  options: CreateKeyOptions,
): Promise<void> {
  const { terminal, profile } = context;
  refuseDataFolder(profile.folder);
  const { person } = profile.require();
  const encrypt = options.passphrase !== false;
  if (person.role === 'client') {
    await createAccountKey(context, encrypt, options);
    return;
  }
  if (person.role === 'admin' || person.role === 'auditor') {
    throw usageError(`People with the role ${person.role} sign nothing and need no key.`);
  }
  const keys = await context.keys();
  const name = options.name ?? 'engineer';
  const signer = await keys.create(name, { person: person.id, name: person.name }, { encrypt });
  const fingerprint = keyFingerprint(signer.key);
  if (terminal.json) {
    terminal.printJson({ name, fingerprint, ...keys.publicPart(name) });
    return;
  }
  terminal.say(glyph('ok', '✓'), `key "${name}"  ${fingerprint}`);
  terminal.sayNext(shell`intervene keys export ${name} > ${name}.pub`);
  terminal.sayNext(shell`intervene engineers add ${person.name} --key-file ${name}.pub`, {
    label: 'Then',
    who: 'a lead',
  });
}

/** `keys rotate`: a new signing key of the account in place of the one of this machine, which signs it. */
export async function rotateKey(
  context: CommandContext,
  _args: string[],
  options: CreateKeyOptions,
): Promise<void> {
  requireClient(context, 'rotate');
  refuseDataFolder(context.profile.folder);
  const encrypt = options.passphrase !== false;
  await createAccountKey(context, encrypt, { ...options, replaces: 'own' });
}

/**
 * `keys recover`: all keys of the account are lost or in other hands. The one on paper signs a new signing key
 * and a new recovery key; every other signing key is given up.
 */
export async function recoverKeys(
  context: CommandContext,
  _args: string[],
  options: CreateKeyOptions,
): Promise<void> {
  requireClient(context, 'recover');
  refuseDataFolder(context.profile.folder);
  const encrypt = options.passphrase !== false;
  await createAccountKey(context, encrypt, { ...options, replaces: 'all' });
}

function requireClient(context: CommandContext, verb: string): void {
  if (context.profile.require().person.role === 'client') return;
  throw usageError(
    `Only keys of an account are chained; there is nothing to ${verb} here.`,
    [
      { label: 'make another key', command: 'intervene keys create --name engineer-2' },
      { label: 'a lead certifies it', command: 'intervene engineers add NAME --key-file FILE' },
    ],
    'not_a_client',
  );
}

export async function listKeys(context: CommandContext): Promise<void> {
  const { terminal } = context;
  const items = (await context.keys()).list();
  if (terminal.json) {
    terminal.printJson({ items, next: null });
    return;
  }
  printTable(
    terminal,
    [
      { title: 'NAME', cell: (key) => key.name },
      { title: 'FINGERPRINT', cell: (key) => key.fingerprint, keep: true },
      { title: 'PROTECTED', cell: (key) => (key.encrypted ? 'passphrase' : 'file mode only') },
    ],
    items,
  );
  if (items.length === 0) {
    terminal.sayNext('intervene keys create', { after: 'No key yet.' });
  }
}

/** `keys export [NAME]`: the public part, for a lead to certify. */
export async function exportKey(context: CommandContext, [named]: string[]): Promise<void> {
  const keys = await context.keys();
  const all = keys.list();
  const name = named ?? (all.length === 1 ? all[0]?.name : 'engineer') ?? 'engineer';
  const publicPart = keys.publicPart(name);
  if (publicPart === null) {
    throw usageError(
      `There is no key ${JSON.stringify(name)} in this profile.`,
      [{ label: 'see your keys', command: 'intervene keys list' }],
      'no_key',
    );
  }
  // Read by another program: one line, also on a terminal.
  await context.terminal.printJsonLine(publicPart);
}
