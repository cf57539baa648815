import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { digestOf, DocumentError, readUnverified } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { syncDirectory, writeDurably } from '../connection/durable-file.ts';

export type ChainKind = 'root' | 'account-keys';

/** A document of a chain, and the envelope it came in. */
export interface Link<K extends ChainKind> {
  document: VerifiedDocument<K>;
  envelope: Uint8Array;
}

/** How the documents of a chain are opened: the pinned one, and one that follows another. */
export interface ChainRules<K extends ChainKind> {
  first(envelope: Uint8Array): VerifiedDocument<K>;
  next(current: VerifiedDocument<K>, envelope: Uint8Array): VerifiedDocument<K>;
}

/**
 * The chain `held` with those of `envelopes` that come after it. What stands before the newest document
 * held, or before the pinned one when none is held, is passed over unread. Throws DocumentError when the
 * pinned document is missing or one does not follow from the one before it.
 */
export function extendChain<K extends ChainKind>(
  held: readonly Link<K>[],
  envelopes: readonly Uint8Array[],
  pin: string,
  rules: ChainRules<K>,
): Link<K>[] {
  const digests = envelopes.map(digestOf);
  const chain = [...held];
  let from: number;
  if (chain.length === 0) {
    from = digests.indexOf(pin);
    const envelope = envelopes[from];
    if (envelope === undefined) {
      throw new DocumentError('signer_unknown', `the pinned document ${pin} is not here`);
    }
    chain.push({ document: rules.first(envelope), envelope });
  } else {
    const known = new Set(chain.map(({ document }) => document.digest));
    from = digests.findLastIndex((digest) => known.has(digest));
    if (from === -1 && isBeforePin(chain[0]!.document, envelopes[0])) return chain;
  }
  for (const envelope of envelopes.slice(from + 1)) {
    chain.push({ document: rules.next(chain.at(-1)!.document, envelope), envelope });
  }
  return chain;
}

/** Long chains come in parts; one that ends before the pinned document has nothing to say. */
function isBeforePin<K extends ChainKind>(
  pinned: VerifiedDocument<K>,
  envelope: Uint8Array | undefined,
): boolean {
  if (envelope === undefined) return false;
  return readUnverified(pinned.kind, envelope).payload.version < pinned.payload.version;
}

const FILE = /^\d{4,}\.json$/;

/** Envelopes of a folder `0001.json`, `0002.json`, …; none when there is no folder. */
export async function readChain(directory: string): Promise<Uint8Array[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const files = names.filter((name) => FILE.test(name));
  files.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  return Promise.all(files.map(async (name) => readFile(path.join(directory, name))));
}

/**
 * Writes the links from position `from` on, oldest first, each durable before the next: a crash leaves a
 * shorter chain, never one with a hole.
 */
export async function writeChain<K extends ChainKind>(
  directory: string,
  chain: readonly Link<K>[],
  from: number,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await syncDirectory(path.dirname(directory));
  for (const [index, { envelope }] of chain.entries()) {
    if (index < from) continue;
    const name = `${String(index + 1).padStart(4, '0')}.json`;
    await writeDurably(path.join(directory, name), envelope);
  }
}
