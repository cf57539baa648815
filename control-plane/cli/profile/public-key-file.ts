import { z } from 'zod';
import { name, uuid } from '../../../proto/documents/fields.ts';
import { ed25519KeySchema } from '../../../proto/documents/keys.ts';
import { usageError } from '../cli-error.ts';

const publicKeyFileSchema = z.strictObject({ person: uuid, name, key: ed25519KeySchema });

/** The public part of a key, as one person hands it to another: whose it is, and the key. */
export type PublicKeyFile = z.output<typeof publicKeyFileSchema>;

/** Throws CliError for what is no such file, or holds a weak key. */
export function parsePublicKeyFile(text: string, path: string): PublicKeyFile {
  try {
    return publicKeyFileSchema.parse(JSON.parse(text));
  } catch {
    throw usageError(
      `${path} is not the public part of a key.`,
      [{ label: 'its owner writes one', command: 'intervene keys export > FILE' }],
      'not_a_public_key',
    );
  }
}
