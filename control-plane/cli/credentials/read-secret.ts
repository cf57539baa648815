import { isUtf8 } from 'node:buffer';
import { usageError } from '../cli-error.ts';
import { readNamedFile } from '../named-file.ts';

const SECRET_MAX_BYTES = 8 * 1024;

/**
 * A secret from a file, or from standard input (`-`), byte for byte. Throws CliError for one that cannot be sealed.
 *
 * @param name how the person calls it
 */
export function readSecretFile(name: string, path: string): string {
  const secret = readNamedFile(path);
  if (secret.length > SECRET_MAX_BYTES) {
    throw usageError(`The secret ${name} is larger than 8 KiB.`, [], 'secret_too_large');
  }
  if (!isUtf8(secret)) throw usageError(`The secret ${name} is not UTF-8 text.`);
  return secret.toString('utf8');
}
