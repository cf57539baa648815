import { createHash } from 'node:crypto';
import { DocumentError, openDocument, readKind } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';

/** More than any order needs: a lead and an engineer document for each of eight signers, twice. */
export const CERTIFICATIONS_MAX = 32;

/** Clocks differ: what begins in the next minute has begun. */
export const SKEW_SECONDS = 60;

/** Somebody whose signature under an order counts. */
export interface CertifiedPerson {
  person: string;
  name: string;
  role: 'lead' | 'engineer';
  key: PublicKey;
  fingerprint: string;
}

type Certification = VerifiedDocument<'lead'> | VerifiedDocument<'engineer'>;
/** Why a certification counts: a root key signed it, or somebody whom `lead` makes a lead. */
interface Authority {
  signer: PublicKey;
  lead: Certification | null;
}
type IsRevoked = (keyFingerprint: string) => boolean;

/**
 * The people whom the certifications of a delivery and the operator's root make known. Who signed is
 * settled when this is made; whether that holds now is asked with `certify`.
 */
export class CertifiedPeople {
  private readonly certifications: readonly Certification[];
  private readonly root: VerifiedDocument<'root'>;

  private constructor(certifications: readonly Certification[], root: VerifiedDocument<'root'>) {
    this.certifications = certifications;
    this.root = root;
  }

  /**
   * Throws DocumentError when any of the documents is not what it claims to be. One signed by somebody who
   * is not, or no longer, trusted here certifies nobody: courier and agent may know different roots. A key that
   * they name for two people is nobody's; the others that came with it count.
   */
  static open(envelopes: readonly Uint8Array[], root: VerifiedDocument<'root'>): CertifiedPeople {
    if (envelopes.length > CERTIFICATIONS_MAX) {
      throw new DocumentError('document_too_large', `${envelopes.length} certifications`);
    }
    const kinds = envelopes.map((envelope) => ({ envelope, kind: readKind(envelope) }));
    const stranger = kinds.find(({ kind }) => kind !== 'lead' && kind !== 'engineer');
    if (stranger !== undefined) {
      throw new DocumentError(
        'type_not_allowed_for_key',
        `a document of kind ${stranger.kind ?? 'unknown'} among the certifications`,
      );
    }
    const ofKind = (wanted: string) =>
      kinds.filter(({ kind }) => kind === wanted).map(({ envelope }) => envelope);
    const leads = ofKind('lead').flatMap((bytes) =>
      openTrusted('lead', bytes, rootKeysFor(root, 'lead'), root.digest),
    );
    const issuers = [
      ...rootKeysFor(root, 'engineer'),
      // A passkey is used on pages that the control plane serves: it certifies nobody.
      ...leads.flatMap((lead) => lead.payload.keys).filter((key) => key.type === 'ed25519'),
    ];
    const engineers = ofKind('engineer').flatMap((bytes) =>
      openTrusted('engineer', bytes, issuers, root.digest),
    );
    return new CertifiedPeople([...leads, ...engineers], root);
  }

  /** All keys that some certification names, valid or not. */
  get keys(): PublicKey[] {
    const keys = this.certifications.flatMap(({ payload }) => payload.keys);
    return [...new Map(keys.map((key) => [key.public, key])).values()];
  }

  /**
   * Who holds this key, if that person may sign at that time. Throws DocumentError: `signer_unknown`,
   * `certification_expired` or `revoked`.
   *
   * @param at trusted time in seconds
   */
  certify(key: PublicKey, at: number, isRevoked: IsRevoked): CertifiedPerson {
    const fingerprint = keyFingerprint(key);
    this.requireOnePerson(key);
    const naming = this.naming(key);
    if (naming.length === 0) {
      throw new DocumentError('signer_unknown', `nobody certified ${fingerprint}`);
    }
    const valid = naming.filter((document) => this.holdsAt(document, at));
    if (valid.length === 0) {
      throw new DocumentError(
        'certification_expired',
        `the certification of ${naming[0]!.payload.name} (${fingerprint}) does not hold now`,
      );
    }
    const standing = valid.find((document) => this.stands(document, at, isRevoked));
    if (standing === undefined || isRevoked(fingerprint)) {
      throw new DocumentError(
        'revoked',
        `the key ${fingerprint} of ${valid[0]!.payload.name}, or who certified it, is revoked`,
      );
    }
    const { person, name } = standing.payload;
    return { person, name, role: standing.kind, key, fingerprint };
  }

  /**
   * Who holds or held the key with this fingerprint, as far as the certifications tell. Throws DocumentError when
   * they tell of two people.
   */
  personOf(fingerprint: string): string | undefined {
    const key = this.keys.find((one) => keyFingerprint(one) === fingerprint);
    if (key === undefined) return undefined;
    this.requireOnePerson(key);
    return this.naming(key)[0]?.payload.person;
  }

  private naming(key: PublicKey): Certification[] {
    return this.certifications.filter(({ payload }) =>
      payload.keys.some((entry) => entry.public === key.public && entry.type === key.type),
    );
  }

  /** Within its window and, unless a root key signed it, that of a lead who signed it. */
  private holdsAt(document: Certification, at: number): boolean {
    return isWithin(document.payload, at) && this.authorities(document, at).length > 0;
  }

  private stands(document: Certification, at: number, isRevoked: IsRevoked): boolean {
    return this.authorities(document, at).some(
      ({ signer, lead }) =>
        !isRevoked(keyFingerprint(signer)) &&
        (lead === null || lead.signers.some((root) => !isRevoked(keyFingerprint(root)))),
    );
  }

  /** By what right its signers signed: as a root key, or by a lead document that holds at that time. */
  private authorities(document: Certification, at: number): Authority[] {
    const rootKeys = rootKeysFor(this.root, document.kind).map((key) => key.public);
    return document.signers.flatMap((signer): Authority[] =>
      rootKeys.includes(signer.public)
        ? [{ signer, lead: null }]
        : this.isOfTwoPeople(signer)
          ? []
          : this.naming(signer)
              .filter((lead) => lead.kind === 'lead' && isWithin(lead.payload, at))
              .map((lead) => ({ signer, lead })),
    );
  }

  private requireOnePerson(key: PublicKey): void {
    if (!this.isOfTwoPeople(key)) return;
    throw new DocumentError(
      'signer_unknown',
      `${keyFingerprint(key)} is certified for two people, and counts for neither`,
    );
  }

  /** Otherwise one key could count as two people. */
  private isOfTwoPeople(key: PublicKey): boolean {
    return new Set(this.naming(key).map(({ payload }) => payload.person)).size > 1;
  }
}

function isWithin(window: { notBefore: number; expiresAt: number }, at: number): boolean {
  return at >= window.notBefore - SKEW_SECONDS && at < window.expiresAt;
}

function rootKeysFor(root: VerifiedDocument<'root'>, kind: 'lead' | 'engineer'): PublicKey[] {
  return root.payload.keys.filter(({ may }) => may.includes(kind)).map(({ key }) => key);
}

function openTrusted(...certification: Parameters<typeof openRemembered>): Certification[] {
  try {
    return [openRemembered(...certification)];
  } catch (error) {
    if (error instanceof DocumentError && error.reason === 'signer_unknown') return [];
    throw error;
  }
}

const REMEMBERED_MAX = 128;
const remembered = new Map<string, Certification>();

/**
 * The same certifications come with every order; their signatures are verified once per root. Only the
 * signature is remembered: that its keys may sign is checked each time.
 */
function openRemembered(
  kind: 'lead' | 'engineer',
  bytes: Uint8Array,
  keys: readonly PublicKey[],
  root: string,
): Certification {
  const name = `${root} ${kind} ${createHash('sha256').update(bytes).digest('hex')}`;
  const known = remembered.get(name);
  const mayStillSign = (document: Certification) =>
    document.signers.every((signer) => keys.some((key) => key.public === signer.public));
  if (known !== undefined && mayStillSign(known)) return known;
  const document = openDocument(kind, bytes, keys) as Certification;
  if (remembered.size >= REMEMBERED_MAX) remembered.clear();
  remembered.set(name, document);
  return document;
}
