import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import {
  followAccountKeysChain,
  followRootChain,
  nextAccountKeys,
  nextRoot,
  requireUnrevokedSigners,
} from '../../proto/documents/chain.ts';
import { DocumentError } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { digest } from '../../proto/documents/fields.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import { writeDurably } from '../connection/durable-file.ts';
import { extendChain, readChain, writeChain } from './chain-files.ts';
import type { Link } from './chain-files.ts';

const pinsSchema = z.strictObject({
  /** SHA-256 of the public key (SPKI, DER) of the control plane's authority. */
  caPin: digest,
  rootDigest: digest,
  /** Null in a rescue environment of a client without keys: only attestations can authorize there. */
  accountKeysDigest: digest.nullable(),
});
export type Pins = z.output<typeof pinsSchema>;

/** Envelopes, oldest first. */
export interface TrustChains {
  rootChain: readonly Uint8Array[];
  accountKeys: readonly Uint8Array[];
}

/** A key as `intervene-agent trust` lists it. */
export interface ListedKey {
  name: string;
  fingerprint: string;
  use: string;
}

export interface TrustListing {
  pins: Pins;
  root: { version: number; digest: string; threshold: number; keys: ListedKey[] };
  accountKeys: { version: number; digest: string; keys: ListedKey[] } | null;
}

/** Thrown when what was pinned at install cannot be read or followed any more. */
export class PinnedTrustError extends Error {
  override name = 'PinnedTrustError';
}

interface Chains {
  root: Link<'root'>[];
  accountKeys: Link<'account-keys'>[];
}

/** What this agent was told to trust at install, and every document that lawfully came after it. */
export class PinnedTrust {
  readonly pins: Pins;
  private readonly directory: string;
  private readonly account: string;
  private chains: Chains;
  private queue: Promise<unknown> = Promise.resolve();

  private constructor(directory: string, account: string, pins: Pins, chains: Chains) {
    this.directory = directory;
    this.account = account;
    this.pins = pins;
    this.chains = chains;
  }

  /**
   * Pins trust for the first time, or anew by local root; what was there before is replaced. Throws
   * DocumentError, and writes nothing, when the documents are not what the pins say.
   *
   * @param directory the folder `trust` of the state directory
   * @param account whose keys these must be
   */
  static async install(
    directory: string,
    account: string,
    pins: Pins,
    given: TrustChains,
  ): Promise<PinnedTrust> {
    const checked = pinsSchema.parse(pins);
    const chains = extendChains({ root: [], accountKeys: [] }, checked, account, given);
    const pinsFile = path.join(directory, 'pins.json');
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // Without pins there is no trust: a crash in the middle of this leaves an agent that starts nothing.
    for (const name of ['pins.json', 'root', 'account-keys']) {
      await rm(path.join(directory, name), { recursive: true, force: true });
    }
    await writeChain(path.join(directory, 'root'), chains.root, 0);
    await writeChain(path.join(directory, 'account-keys'), chains.accountKeys, 0);
    await writeDurably(pinsFile, `${JSON.stringify(checked, null, 2)}\n`);
    return new PinnedTrust(directory, account, checked, chains);
  }

  /** Throws PinnedTrustError when a file is missing or damaged, or a chain does not hold. */
  static async load(directory: string, account: string): Promise<PinnedTrust> {
    try {
      const text = await readFile(path.join(directory, 'pins.json'), 'utf8');
      const pins = pinsSchema.parse(JSON.parse(text));
      const chains = extendChains({ root: [], accountKeys: [] }, pins, account, {
        rootChain: await readChain(path.join(directory, 'root')),
        accountKeys: await readChain(path.join(directory, 'account-keys')),
      });
      return new PinnedTrust(directory, account, pins, chains);
    } catch (error) {
      throw new PinnedTrustError(
        `the trust in ${directory} cannot be used: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }

  get root(): VerifiedDocument<'root'> {
    return this.chains.root.at(-1)!.document;
  }

  /** Null when no account keys were pinned. */
  get accountKeys(): VerifiedDocument<'account-keys'> | null {
    return this.chains.accountKeys.at(-1)?.document ?? null;
  }

  /**
   * Takes newer documents over, whole chains or only what follows those held. A document that does not
   * follow from the newest one held is refused with a DocumentError, and then none is taken: neither an
   * older state nor a fork replaces what is here. They are on disk when this resolves.
   *
   * @param isRevoked whether the key of this fingerprint was taken back: it can sign no successor then
   * @returns whether there was anything new
   */
  async accept(
    update: TrustChains,
    isRevoked: (fingerprint: string) => boolean = () => false,
  ): Promise<boolean> {
    const accepted = this.queue.then(async () => {
      const held = this.chains;
      const next = extendChains(held, this.pins, this.account, update);
      const { root, accountKeys } = next;
      requireUnrevoked(root, held.root.length, isRevoked);
      requireUnrevoked(accountKeys, held.accountKeys.length, isRevoked);
      if (root.length === held.root.length && accountKeys.length === held.accountKeys.length) {
        return false;
      }
      await writeChain(path.join(this.directory, 'root'), root, held.root.length);
      await writeChain(
        path.join(this.directory, 'account-keys'),
        accountKeys,
        held.accountKeys.length,
      );
      this.chains = next;
      return true;
    });
    this.queue = accepted.catch(() => undefined);
    return accepted;
  }

  list(): TrustListing {
    const { root, accountKeys } = this;
    return {
      pins: this.pins,
      root: {
        version: root.payload.version,
        digest: root.digest,
        threshold: root.payload.threshold,
        keys: root.payload.keys.map(({ key, name, may }) => ({
          name,
          fingerprint: keyFingerprint(key),
          use: may.join(', '),
        })),
      },
      accountKeys: accountKeys && {
        version: accountKeys.payload.version,
        digest: accountKeys.digest,
        keys: accountKeys.payload.keys.map(({ key, name, use }) => ({
          name,
          fingerprint: keyFingerprint(key),
          use,
        })),
      },
    };
  }
}

function extendChains(held: Chains, pins: Pins, account: string, given: TrustChains): Chains {
  const root = extendChain(held.root, given.rootChain, pins.rootDigest, {
    first: (envelope) => followRootChain([envelope], pins.rootDigest),
    next: nextRoot,
  });
  if (pins.accountKeysDigest === null) return { root, accountKeys: [] };
  const pin = pins.accountKeysDigest;
  const accountKeys = extendChain(held.accountKeys, given.accountKeys, pin, {
    first: (envelope) => requireAccount(followAccountKeysChain([envelope], pin), account),
    next: nextAccountKeys,
  });
  return { root, accountKeys };
}

/** Of a chain of which the first `held` documents were here before. */
function requireUnrevoked<K extends 'root' | 'account-keys'>(
  chain: readonly { document: VerifiedDocument<K> }[],
  held: number,
  isRevoked: (fingerprint: string) => boolean,
): void {
  for (let at = Math.max(1, held); at < chain.length; at++) {
    requireUnrevokedSigners(chain[at - 1]!.document, chain[at]!.document, isRevoked);
  }
}

function requireAccount(
  keys: VerifiedDocument<'account-keys'>,
  account: string,
): VerifiedDocument<'account-keys'> {
  if (keys.payload.account === account) return keys;
  throw new DocumentError('signer_unknown', 'the pinned account keys are of another account');
}
