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
  terminal.say(`Next: intervene keys export ${name}${profile.flag} > ${name}.pub`);
  terminal.say(
    `      a lead runs: intervene engineers add ${JSON.stringify(person.name)} --key-file ${name}.pub`,
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
    terminal.say(`No key yet. Next: intervene keys create${context.profile.flag}`);
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
      [{ label: 'see your keys', command: `intervene keys list${context.profile.flag}` }],
      'no_key',
    );
  }
  // Read by another program: one line, also on a terminal.
  await context.terminal.printJsonLine(publicPart);
}
