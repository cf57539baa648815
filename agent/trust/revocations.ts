import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { digestOf, DocumentError, readUnverified } from '../../proto/documents/document.ts';
import { fingerprint, uuid } from '../../proto/documents/fields.ts';
import { LEAD_MAX_SECONDS } from '../../proto/documents/kinds/certification.ts';
import type { Revoke } from '../../proto/documents/kinds/revoke.ts';
import { writeDurably } from '../connection/durable-file.ts';
import { openLasting } from './revokers.ts';
import type { Revokers } from './revokers.ts';

/** Longer than any grant or certification lives; account keys leave by the next version of their chain. */
export const SIGNED_KEEP_SECONDS = LEAD_MAX_SECONDS;

const revocable = z.union([uuid, fingerprint]);
const fileSchema = z.strictObject({
  ids: z.array(revocable),
  /** Envelopes whose signatures were verified when they came, base64. */
  signed: z.array(z.base64()),
});

/** Thrown when the list on disk cannot be read: what is revoked is then unknown, and nothing may start. */
export class RevocationsError extends Error {
  override name = 'RevocationsError';
}

interface SignedRevocation {
  revoke: Revoke;
  digest: string;
  envelope: Uint8Array;
}

/**
 * Grants and keys that were taken back. The control plane's list is obeyed unsigned, and replaced whole by
 * its next one; what the account, the operator, or the provider's people signed stays until it can matter no more.
 */
export class Revocations {
  private readonly file: string;
  private ids: ReadonlySet<string>;
  private signed: SignedRevocation[];
  private queue: Promise<unknown> = Promise.resolve();
  /** How often the list was replaced. */
  generation = 0;

  private constructor(file: string, ids: Iterable<string>, signed: SignedRevocation[]) {
    this.file = file;
    this.ids = new Set(ids);
    this.signed = signed;
  }

  /** Throws RevocationsError when the file is damaged. No file: nothing was revoked yet. */
  static async open(file: string): Promise<Revocations> {
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Revocations(file, [], []);
      throw new RevocationsError(`${file} cannot be read`, { cause: error });
    }
    try {
      const { ids, signed } = fileSchema.parse(JSON.parse(text));
      const revocations = signed.map((base64) => readStored(Buffer.from(base64, 'base64')));
      return new Revocations(file, ids, revocations);
    } catch (error) {
      throw new RevocationsError(`${file} is damaged`, { cause: error });
    }
  }

  /** Whether a grant (by id) or a key (by fingerprint) was taken back. */
  isRevoked(id: string): boolean {
    return this.ids.has(id) || this.naming(id).length > 0;
  }

  /**
   * How running jobs that rest on it stop; null when it is not revoked. `after_step` only when everybody
   * who signed its revocation said so.
   */
  stopMode(id: string): 'now' | 'after_step' | null {
    if (!this.isRevoked(id)) return null;
    const naming = this.naming(id);
    return naming.length > 0 && naming.every(({ afterStep }) => afterStep) ? 'after_step' : 'now';
  }

  /**
   * Replaces the list. It is in force at once and on disk when this resolves. Of the documents, those hold
   * beyond the next list whose signers have a right to that (see `openLasting`); the others count as unsigned.
   *
   * @param now trusted time in seconds
   */
  async replace(
    list: { ids: readonly string[]; documents: readonly Uint8Array[] },
    revokers: Revokers,
    now: number,
  ): Promise<void> {
    const ids = new Set(list.ids.filter((id) => revocable.safeParse(id).success));
    const kept = new Map(
      this.signed
        .filter(({ revoke }) => revoke.issuedAt + SIGNED_KEEP_SECONDS > now)
        .map((revocation) => [revocation.digest, revocation]),
    );
    for (const envelope of list.documents) {
      const before = [...kept.values()];
      const lasting = openLasting(envelope, revokers, now, (key) =>
        before.some(
          (one) => !Buffer.from(one.envelope).equals(envelope) && one.revoke.keys.includes(key),
        ),
      );
      if (lasting !== null) {
        const { payload: revoke, digest } = lasting;
        kept.set(digest, { revoke, digest, envelope });
        continue;
      }
      const unsigned = readUnsigned(envelope);
      for (const id of unsigned === undefined ? [] : idsOf(unsigned)) ids.add(id);
    }
    this.ids = ids;
    this.signed = [...kept.values()];
    this.generation++;
    const written = this.queue.then(() => this.write());
    this.queue = written.catch(() => undefined);
    await written;
  }

  private naming(id: string): Revoke[] {
    return this.signed.map(({ revoke }) => revoke).filter((revoke) => idsOf(revoke).includes(id));
  }

  private async write(): Promise<void> {
    const content = {
      ids: [...this.ids],
      signed: this.signed.map(({ envelope }) => Buffer.from(envelope).toString('base64')),
    };
    await writeDurably(this.file, JSON.stringify(content));
  }
}

function idsOf(revoke: Revoke): string[] {
  return [...revoke.grants, ...revoke.keys];
}

/** Undefined for what is no revocation at all: a courier's mistake must not undo the rest of its list. */
function readUnsigned(envelope: Uint8Array): Revoke | undefined {
  try {
    return readUnverified('revoke', envelope).payload;
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    return undefined;
  }
}

function readStored(envelope: Uint8Array): SignedRevocation {
  return {
    revoke: readUnverified('revoke', envelope).payload,
    digest: digestOf(envelope),
    envelope,
  };
}
