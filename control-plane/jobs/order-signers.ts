import { readUnverified } from '../../proto/documents/document.ts';
import { preAuthenticationEncoding } from '../../proto/documents/dsse.ts';
import type { Envelope } from '../../proto/documents/dsse.ts';
import { keyFingerprint, verifySignature } from '../../proto/documents/keys.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';
import { readCertifications } from '../authorizations/certifications.ts';
import type { Certification } from '../authorizations/certifications.ts';
import { readUnexpiredCertifications } from '../authorizations/document-store.ts';
import type { Queries } from '../database/database.ts';

/** A document that goes along with an order. What it says is the agent's to judge, also that a key was revoked. */
interface SentDocument {
  kind: 'lead' | 'engineer';
  fingerprints: readonly string[];
  /** Fingerprints of the keys that signed it. */
  signers: readonly string[];
  expiresAt: number;
  envelope: Buffer;
}

const FRESH_MS = 1_000;
/** Documents per key that are sent along: those that hold longest. */
const PER_KEY = 2;

/** Whose signatures on orders count, and the documents that say so; read at most once a second. */
export class OrderSigners {
  private readonly queries: Queries;
  private loadedAt = -Infinity;
  private loading: Promise<void> | undefined;
  private certified: readonly Certification[] = [];
  private documents = new Map<string, SentDocument>();

  constructor(queries: Queries) {
    this.queries = queries;
  }

  /** Keys certified for this person now whose signatures on the order hold. */
  async keysThatSigned(personId: string, envelope: Envelope): Promise<PublicKey[]> {
    const isOf = (row: Certification) => row.person === personId;
    await this.refresh(FRESH_MS);
    // Somebody who was certified a moment ago need not wait.
    if (!this.certified.some(isOf)) await this.refresh(0);
    return keysThatSigned(this.certified.filter(isOf), envelope);
  }

  /** Everybody certified now who signed the order. Call `keysThatSigned` first, which refreshes. */
  peopleWhoSigned(envelope: Envelope): string[] {
    const people = [...new Set(this.certified.map((row) => row.person))];
    return people.filter(
      (person) =>
        keysThatSigned(
          this.certified.filter((row) => row.person === person),
          envelope,
        ).length > 0,
    );
  }

  /** What an agent needs to trust these keys: their documents, and those of the leads who signed these. */
  async envelopesFor(fingerprints: readonly string[]): Promise<Buffer[]> {
    await this.refresh(FRESH_MS);
    if (fingerprints.some((one) => this.pick([one]).length === 0)) await this.refresh(0);
    const direct = this.pick(fingerprints);
    const issuers = direct.filter(({ kind }) => kind === 'engineer').flatMap((one) => one.signers);
    const leads = this.pick(issuers).filter(({ kind }) => kind === 'lead');
    return [...new Set([...leads, ...direct])].map(({ envelope }) => envelope);
  }

  private pick(fingerprints: readonly string[]): SentDocument[] {
    const byEnd = [...this.documents.values()].sort((a, b) => b.expiresAt - a.expiresAt);
    return [...new Set(fingerprints)].flatMap((fingerprint) =>
      byEnd.filter((one) => one.fingerprints.includes(fingerprint)).slice(0, PER_KEY),
    );
  }

  private async refresh(maxAgeMs: number): Promise<void> {
    if (performance.now() - this.loadedAt < maxAgeMs) return;
    this.loading ??= this.load().finally(() => (this.loading = undefined));
    await this.loading;
  }

  private async load(): Promise<void> {
    const started = performance.now();
    const now = new Date();
    const [certified, stored] = await Promise.all([
      readCertifications(this.queries, now),
      readUnexpiredCertifications(this.queries, now),
    ]);
    const documents = new Map<string, SentDocument>();
    for (const { digest, kind, envelope } of stored) {
      const known = this.documents.get(digest);
      if (known !== undefined) documents.set(digest, known);
      else if (kind === 'lead' || kind === 'engineer') documents.set(digest, read(kind, envelope));
    }
    this.certified = certified;
    this.documents = documents;
    this.loadedAt = started;
  }
}

function keysThatSigned(certified: readonly Certification[], envelope: Envelope): PublicKey[] {
  const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
  const keys = new Map(
    certified.flatMap((row) => row.keys).map((key) => [keyFingerprint(key), key]),
  );
  return envelope.signatures.flatMap((signature) => {
    const key = keys.get(signature.keyid);
    return key !== undefined && verifySignature(key, message, signature) ? [key] : [];
  });
}

function read(kind: 'lead' | 'engineer', envelope: Buffer): SentDocument {
  const { payload, keyids } = readUnverified(kind, envelope);
  const fingerprints = payload.keys.map(keyFingerprint);
  return { kind, fingerprints, signers: keyids, expiresAt: payload.expiresAt, envelope };
}
