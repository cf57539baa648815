import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  generateSigningKey,
  keyFingerprint,
  loadSigningKey,
} from '../../../proto/documents/keys.ts';
import type { Ed25519Key, Signer } from '../../../proto/documents/keys.ts';
import { CliError, usageError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import { CredentialKey } from './credential-key.ts';
import { decryptKey, encryptKey, isEncrypted } from './key-encryption.ts';
import { askPassphrase, chooseNewPassphrase, requireReadable } from './passphrase.ts';
import type { PassphraseSource } from './passphrase.ts';
import { readPrivateFile, writePrivateFile } from './private-file.ts';
import type { Profile } from './profile.ts';
import { parsePublicKeyFile } from './public-key-file.ts';
import type { PublicKeyFile } from './public-key-file.ts';

const KEY_NAME = /^[a-z][a-z0-9-]{0,39}$/;

export interface StoredKey {
  name: string;
  fingerprint: string;
  key: Ed25519Key;
  encrypted: boolean;
}

/** The signing keys of a profile: `keys/NAME.key`, encrypted unless the person wanted otherwise. */
export class KeyStore {
  private readonly profile: Profile;
  private readonly passphrase: PassphraseSource;
  private readonly opened = new Map<string, Signer>();
  /** Of clients. */
  readonly credentialKey: CredentialKey;

  constructor(profile: Profile, passphrase: PassphraseSource) {
    this.profile = profile;
    this.passphrase = passphrase;
    this.credentialKey = new CredentialKey(profile, passphrase);
  }

  list(): StoredKey[] {
    return this.names().flatMap((name) => {
      const file = this.publicPart(name);
      if (file === null) return [];
      return [
        {
          name,
          fingerprint: keyFingerprint(file.key),
          key: file.key,
          encrypted: isEncrypted(readPrivateFile(this.path(name)) ?? ''),
        },
      ];
    });
  }

  has(name: string): boolean {
    return readPrivateFile(this.path(name)) !== null;
  }

  /**
   * Makes a key. Throws CliError when there is one of that name: a key is never overwritten.
   *
   * @param options.forCredentials makes one for credentials too, under the same passphrase, unless there is one
   */
  async create(
    name: string,
    owner: { person: string; name: string },
    options: { encrypt: boolean; forCredentials?: boolean },
  ): Promise<Signer> {
    this.requireFree(name);
    if (!options.encrypt) requireReadable(this.passphrase);
    const passphrase = options.encrypt ? await chooseNewPassphrase(this.passphrase, name) : null;
    const { signer, privateKeyPem } = generateSigningKey();
    const content =
      passphrase === null ? privateKeyPem : await encryptKey(privateKeyPem, passphrase);
    const publicPart: PublicKeyFile = { person: owner.person, name: owner.name, key: signer.key };
    // The private part last: where it is, all of it is.
    if (options.forCredentials) await this.credentialKey.create(passphrase);
    writePrivateFile(this.publicPath(name), `${JSON.stringify(publicPart)}\n`);
    writePrivateFile(this.path(name), content);
    this.opened.set(name, signer);
    return signer;
  }

  /** Opens a key, asking for its passphrase at most once. */
  async open(name: string): Promise<Signer> {
    const already = this.opened.get(name);
    if (already) return already;
    const content = readPrivateFile(this.path(name));
    if (content === null) throw this.noKey(name);
    if (!isEncrypted(content)) requireReadable(this.passphrase);
    const pem = isEncrypted(content)
      ? await decryptKey(content, await askPassphrase(this.passphrase, name), name)
      : content;
    let signer: Signer;
    try {
      signer = loadSigningKey(pem);
    } catch (cause) {
      throw new CliError({
        code: 'key_damaged',
        happened: `${this.path(name)} holds no Ed25519 private key.`,
        cause,
      });
    }
    this.opened.set(name, signer);
    return signer;
  }

  /** Whether `open` needs nobody at the keyboard. */
  opensUnattended(name: string): boolean {
    const content = readPrivateFile(this.path(name));
    return content !== null && (!isEncrypted(content) || this.passphrase.file !== undefined);
  }

  /** What others may know of a key; null when there is none of that name. */
  publicPart(name: string): PublicKeyFile | null {
    const text = readPrivateFile(this.publicPath(name));
    return text === null ? null : parsePublicKeyFile(text, this.publicPath(name));
  }

  /** The first name of the form `signing`, `signing-2`, … that is free. */
  freeName(base: string): string {
    for (let number = 1; ; number++) {
      const name = number === 1 ? base : `${base}-${number}`;
      if (!this.has(name)) return name;
    }
  }

  private requireFree(name: string): void {
    if (!KEY_NAME.test(name)) {
      throw usageError(`${JSON.stringify(name)} is no name for a key: small letters, digits, -`);
    }
    if (!this.has(name)) return;
    throw new CliError({
      code: 'key_exists',
      happened: `There is a key "${name}" already; a key is never overwritten.`,
      next: [{ label: 'see your keys', command: 'intervene keys list' }],
      exitStatus: exitStatus.usage,
    });
  }

  private names(): string[] {
    try {
      return readdirSync(this.profile.keysFolder)
        .filter((file) => file.endsWith('.key'))
        .map((file) => file.slice(0, -'.key'.length))
        .toSorted();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  private path(name: string): string {
    return join(this.profile.keysFolder, `${name}.key`);
  }

  private publicPath(name: string): string {
    return join(this.profile.keysFolder, `${name}.pub`);
  }

  private noKey(name: string): CliError {
    return new CliError({
      code: 'no_key',
      happened: `Profile "${this.profile.name}" has no key "${name}".`,
      next: [{ label: '', command: 'intervene keys create' }],
      exitStatus: exitStatus.usage,
    });
  }
}
