import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliError, usageError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import type { PersonBody } from '../api/bodies.ts';
import type { UnpublishedKey } from '../trust/unpublished-key.ts';
import { readPrivateFile, writePrivateFile } from './private-file.ts';

/** What this machine knows of one person and one control plane. */
export interface ProfileData {
  url: string;
  /** PEM file of the authority that the control plane's certificate is checked with; null: the system's. */
  caFile: string | null;
  person: PersonBody;
  /** Digest of the operator root: the one made here, or the first one seen. */
  rootDigest: string | null;
  /** Digest of the account's first keys, made here or first seen; clients only. */
  accountKeysDigest: string | null;
  /** A signing key for account keys that are not known to be published; clients only. */
  unpublishedKey?: UnpublishedKey | null;
  /** Where secrets for servers were sealed to, by server; clients only. */
  agentRecipients?: Record<string, string>;
}

const PROFILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** A folder under `profiles/`: settings, token and keys of one person. */
export class Profile {
  readonly name: string;
  readonly folder: string;

  constructor(home: string, name: string) {
    if (!PROFILE_NAME.test(name)) {
      throw usageError(`${JSON.stringify(name)} is no name for a profile: letters, digits, . _ -`);
    }
    this.name = name;
    this.folder = join(home, 'profiles', name);
  }

  get keysFolder(): string {
    return join(this.folder, 'keys');
  }

  /** Null when nobody has logged in under this profile. */
  read(): ProfileData | null {
    const text = readPrivateFile(this.file);
    if (text === null) return null;
    try {
      return JSON.parse(text) as ProfileData;
    } catch (cause) {
      throw new CliError({
        code: 'profile_damaged',
        happened: `${this.file} is no JSON.`,
        safe: 'Keys and token lie in files of their own.',
        next: [{ label: 'write it anew', command: 'intervene login URL' }],
        cause,
      });
    }
  }

  /** Throws when nobody has logged in. */
  require(): ProfileData {
    const data = this.read();
    if (data !== null) return data;
    throw new CliError({
      code: 'not_logged_in',
      happened: `Nobody has logged in as profile "${this.name}" on this machine.`,
      next: [{ label: '', command: 'intervene login URL' }],
      exitStatus: exitStatus.usage,
    });
  }

  write(data: ProfileData): void {
    writePrivateFile(this.file, `${JSON.stringify(data, null, 2)}\n`);
  }

  update(change: Partial<ProfileData>): void {
    this.write({ ...this.require(), ...change });
  }

  readToken(): string {
    const token = readPrivateFile(join(this.folder, 'token'))?.trim();
    if (token) return token;
    throw new CliError({
      code: 'not_logged_in',
      happened: `Profile "${this.name}" has no token.`,
      next: [{ label: '', command: 'intervene login URL' }],
      exitStatus: exitStatus.usage,
    });
  }

  writeToken(token: string): void {
    writePrivateFile(join(this.folder, 'token'), `${token}\n`);
  }

  hasKey(name: string): boolean {
    return existsSync(join(this.keysFolder, `${name}.key`));
  }

  private get file(): string {
    return join(this.folder, 'profile.json');
  }
}

/**
 * Refuses to keep keys beside a control plane's data: whoever took it over would have both. A data folder
 * is known by its certificate authority.
 */
export function refuseDataFolder(folder: string): void {
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    if (existsSync(join(at, 'ca', 'ca.key')) || looksLikeData(at)) {
      throw new CliError({
        code: 'data_folder',
        happened: `${folder} lies in the data folder of a control plane (${at}).`,
        safe: 'No key was made.',
        next: [
          {
            label: 'keep operator keys on your own machine',
            command: 'INTERVENE_HOME=~/.config/intervene intervene init',
          },
        ],
        exitStatus: exitStatus.refused,
      });
    }
  }
}

function looksLikeData(folder: string): boolean {
  if (!existsSync(join(folder, 'admin-token')) && !existsSync(join(folder, 'postgres')))
    return false;
  return readdirSync(folder).some((name) => name === 'ca' || name === 'control-plane.pid');
}
