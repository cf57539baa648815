import { usageError } from '../cli-error.ts';
import { readNamedText } from '../named-file.ts';
import type { Prompt } from './prompt.ts';

/** Where the passphrase of a key comes from: a file, or the person. Never a flag's value. */
export interface PassphraseSource {
  file: string | undefined;
  prompt: Prompt;
}

/**
 * For a key without a passphrase: a file that cannot be read is an error all the same, since whoever names one
 * believes that it counts.
 */
export function requireReadable({ file }: PassphraseSource): void {
  if (file !== undefined) readNamedText(file);
}

/** The passphrase of a key that is there. */
export async function askPassphrase(source: PassphraseSource, keyName: string): Promise<string> {
  if (source.file !== undefined) return fromFile(source.file);
  return source.prompt.askHidden([`Passphrase of key "${keyName}": `], '--passphrase-file FILE');
}

/** A passphrase for a new key, typed twice. */
export async function chooseNewPassphrase(
  source: PassphraseSource,
  keyName: string,
): Promise<string> {
  if (source.file !== undefined) return fromFile(source.file);
  const flags = '--passphrase-file FILE or --no-passphrase';
  const first = await source.prompt.askHidden([`New passphrase for key "${keyName}": `], flags);
  if (first === '') throw usageError('An empty passphrase protects nothing.', [], 'no_passphrase');
  const second = await source.prompt.askHidden(['The same again: '], flags);
  if (first !== second) throw usageError('The two differ.', [], 'passphrases_differ');
  return first;
}

function fromFile(path: string): string {
  const passphrase = readNamedText(path).split('\n', 1)[0] ?? '';
  if (passphrase === '')
    throw usageError(`The first line of ${path} is empty.`, [], 'no_passphrase');
  return passphrase;
}
