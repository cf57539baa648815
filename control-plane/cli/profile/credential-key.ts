import { join } from 'node:path';
import { ageRecipient } from '../../../proto/documents/fields.ts';
import { CliError, usageError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import { decryptKey, encryptKey, isEncrypted } from './key-encryption.ts';
import { askPassphrase, requireReadable } from './passphrase.ts';
import type { PassphraseSource } from './passphrase.ts';
import { readPrivateFile, writePrivateFile } from './private-file.ts';
import type { Profile } from './profile.ts';

const NAME = 'credentials';

/**
 * The key that new credentials are sealed to: an age identity of the profile, encrypted like its signing keys. It
 * signs nothing, and stays when those are replaced: what was sealed to it must open.
 */
export class CredentialKey {
  private readonly folder: string;
  private readonly passphrase: PassphraseSource;

  constructor(profile: Pick<Profile, 'keysFolder'>, passphrase: PassphraseSource) {
    this.folder = profile.keysFolder;
    this.passphrase = passphrase;
  }

  /** What others seal to; null while there is no key. */
  recipient(): string | null {
    const text = readPrivateFile(this.path('recipient'))?.trim();
    if (text === undefined) return null;
    if (ageRecipient.safeParse(text).success) return text;
    throw damaged(this.path('recipient'));
  }

  /** Makes the key, unless there is one. */
  async create(passphrase: string | null): Promise<void> {
    if (this.recipient() !== null) return;
    const { generateX25519Identity, identityToRecipient } = await import('age-encryption');
    const identity = await generateX25519Identity();
    const content = passphrase === null ? identity : await encryptKey(identity, passphrase);
    // In this order: what nobody was told of yet may be replaced.
    writePrivateFile(this.path('age'), content);
    writePrivateFile(this.path('recipient'), `${await identityToRecipient(identity)}\n`);
  }

  /** The identity, asking for its passphrase. Throws CliError when there is none. */
  async open(): Promise<string> {
    const content = readPrivateFile(this.path('age'));
    if (content === null) {
      throw usageError(
        'This profile has no key that credentials are sealed to.',
        [
          {
            label: 'with one of your own',
            command: 'intervene credentials open C-101 --identity-file FILE',
          },
        ],
        'no_credential_key',
      );
    }
    if (!isEncrypted(content)) requireReadable(this.passphrase);
    const identity = isEncrypted(content)
      ? await decryptKey(content, await askPassphrase(this.passphrase, NAME), NAME)
      : content;
    if (/^AGE-SECRET-KEY-1[0-9A-Z]{58}$/.test(identity.trim())) return identity.trim();
    throw damaged(this.path('age'));
  }

  private path(kind: 'age' | 'recipient'): string {
    return join(this.folder, `${NAME}.${kind}`);
  }
}

function damaged(path: string): CliError {
  return new CliError({
    code: 'key_damaged',
    happened: `${path} is not what was written there.`,
    exitStatus: exitStatus.refused,
  });
}
