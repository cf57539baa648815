import { z } from 'zod';
import {
  documentDigest,
  encodeEnvelope,
  ENVELOPE_MAX_BYTES,
  parseEnvelope,
  preAuthenticationEncoding,
} from './dsse.ts';
import type { Envelope, EnvelopeSignature } from './dsse.ts';
import { keyFingerprint, verifySignature } from './keys.ts';
import type { PublicKey, Signer } from './keys.ts';
import { documentLimits, parseStrictJson } from './strict-json.ts';
import { accountKeysSchema } from './kinds/account-keys.ts';
import { engineerSchema, leadSchema } from './kinds/certification.ts';
import { credentialSchema } from './kinds/credential.ts';
import { attestationSchema, grantSchema } from './kinds/grant.ts';
import { orderSchema } from './kinds/order.ts';
import { planSchema } from './kinds/plan.ts';
import { receiptSchema } from './kinds/receipt.ts';
import { revokeSchema } from './kinds/revoke.ts';
import { rootSchema } from './kinds/root.ts';
import { voucherSchema } from './kinds/voucher.ts';
import type { RefusalReason } from './reasons.ts';

export const documentSchemas = {
  root: rootSchema,
  lead: leadSchema,
  engineer: engineerSchema,
  'account-keys': accountKeysSchema,
  grant: grantSchema,
  attestation: attestationSchema,
  credential: credentialSchema,
  order: orderSchema,
  plan: planSchema,
  voucher: voucherSchema,
  revoke: revokeSchema,
  receipt: receiptSchema,
} as const;

export type DocumentKind = keyof typeof documentSchemas;
export type DocumentOf<K extends DocumentKind> = z.output<(typeof documentSchemas)[K]>;
export const documentKinds = Object.keys(documentSchemas) as DocumentKind[];

export function mediaType(kind: DocumentKind): string {
  return `application/vnd.intervene.${kind}.v1+json`;
}

const kindsByType = new Map(documentKinds.map((kind) => [mediaType(kind), kind]));

/** Thrown when a document cannot be accepted; `reason` is one of the stable codes. */
export class DocumentError extends Error {
  override name = 'DocumentError';
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** A document whose signatures were verified. `signers` are distinct keys, in the order of the signatures. */
export interface VerifiedDocument<K extends DocumentKind> {
  kind: K;
  payload: DocumentOf<K>;
  payloadBytes: Uint8Array;
  digest: string;
  signers: PublicKey[];
}

/**
 * Opens an envelope in the order that keeps unverified bytes unparsed: size, envelope, key, signature,
 * strict payload. Every signature must come from `keys`, and every one must hold.
 *
 * @param keys those the verifier trusts for this kind; a keyid in the envelope is only a hint
 */
export function openDocument<K extends DocumentKind>(
  kind: K,
  bytes: Uint8Array,
  keys: readonly PublicKey[],
): VerifiedDocument<K> {
  const envelope = openEnvelope(bytes);
  requireType(kind, envelope);
  const named = envelope.signatures.map((signature) => {
    const key = findKey(keys, signature);
    if (key === undefined) {
      throw new DocumentError(
        'signer_unknown',
        `no trusted key ${JSON.stringify(signature.keyid)} for a ${kind}`,
      );
    }
    return { key, signature };
  });
  const signers = verifyAll(envelope, named);
  return {
    kind,
    payload: parsePayload(kind, envelope.payload),
    payloadBytes: envelope.payload,
    digest: documentDigest(envelope),
    signers,
  };
}

/**
 * The trusted keys whose signatures on these bytes hold, for documents that others sign too: a new root
 * bears signatures of keys that only its payload names. The payload is not looked at.
 */
export function trustedSigners(
  kind: DocumentKind,
  bytes: Uint8Array,
  keys: readonly PublicKey[],
): PublicKey[] {
  const envelope = openEnvelope(bytes);
  requireType(kind, envelope);
  return verifyAll(
    envelope,
    envelope.signatures.flatMap((signature) => {
      const key = findKey(keys, signature);
      return key === undefined ? [] : [{ key, signature }];
    }),
  );
}

/** What an envelope says it carries; undefined for a type this version does not know. */
export function readKind(bytes: Uint8Array): DocumentKind | undefined {
  return kindsByType.get(openEnvelope(bytes).payloadType);
}

/**
 * Reads a document without verifying it: to show it, to store it, or to learn which keys to look for.
 * Nothing may be allowed on the strength of what this returns.
 */
export function readUnverified<K extends DocumentKind>(
  kind: K,
  bytes: Uint8Array,
): { payload: DocumentOf<K>; digest: string; keyids: string[]; envelope: Envelope } {
  const envelope = openEnvelope(bytes);
  requireType(kind, envelope);
  return {
    payload: parsePayload(kind, envelope.payload),
    digest: documentDigest(envelope),
    keyids: envelope.signatures.map((signature) => signature.keyid),
    envelope,
  };
}

interface NamedSignature {
  key: PublicKey;
  signature: EnvelopeSignature;
}

function findKey(keys: readonly PublicKey[], signature: EnvelopeSignature): PublicKey | undefined {
  return keys.find((candidate) => keyFingerprint(candidate) === signature.keyid);
}

/** Throws unless every one of these signatures holds and no key signed twice. */
function verifyAll(envelope: Envelope, named: readonly NamedSignature[]): PublicKey[] {
  if (new Set(named.map(({ signature }) => signature.keyid)).size !== named.length) {
    throw new DocumentError('signature_invalid', 'one key signed twice');
  }
  const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
  for (const { key, signature } of named) {
    if (!verifySignature(key, message, signature)) {
      throw new DocumentError(
        'signature_invalid',
        `the signature of ${signature.keyid} does not hold`,
      );
    }
  }
  return named.map(({ key }) => key);
}

function requireType(kind: DocumentKind, envelope: Envelope): void {
  if (envelope.payloadType !== mediaType(kind)) {
    throw new DocumentError(
      'type_not_allowed_for_key',
      `a document of type ${mediaType(kind)} was expected, not ${JSON.stringify(envelope.payloadType)}`,
    );
  }
}

function openEnvelope(bytes: Uint8Array): Envelope {
  requireSize('an envelope', bytes, ENVELOPE_MAX_BYTES);
  let envelope: Envelope;
  try {
    envelope = parseEnvelope(bytes);
  } catch (error) {
    throw new DocumentError('envelope_malformed', `not an envelope: ${describe(error)}`);
  }
  requireSize('a payload', envelope.payload, documentLimits.bytes);
  return envelope;
}

function requireSize(what: string, bytes: Uint8Array, most: number): void {
  if (bytes.byteLength > most) {
    throw new DocumentError(
      'document_too_large',
      `${what} of ${bytes.byteLength} bytes, at most ${most}`,
    );
  }
}

function parsePayload<K extends DocumentKind>(kind: K, payload: Uint8Array): DocumentOf<K> {
  requireSize('a payload', payload, documentLimits.bytes);
  try {
    return documentSchemas[kind].parse(parseStrictJson(payload)) as DocumentOf<K>;
  } catch (error) {
    throw new DocumentError('payload_malformed', `not a ${kind}: ${describe(error)}`);
  }
}

function describe(error: unknown): string {
  if (error instanceof z.ZodError) {
    const issue = error.issues[0];
    return cut(`${issue?.path.join('.') || 'document'}: ${issue?.message ?? 'invalid'}`);
  }
  return cut((error as Error).message);
}

/** Quoted text of a document may be long, and a cut must not leave half a character. */
function cut(message: string): string {
  return message.slice(0, 300).toWellFormed();
}

/**
 * Signs a payload as a document of `kind`. Throws ZodError when the payload is not one, DocumentError when
 * it breaks the limits of all documents.
 */
export function signDocument<K extends DocumentKind>(
  kind: K,
  payload: z.input<(typeof documentSchemas)[K]>,
  signers: readonly Signer[],
): Uint8Array {
  const checked = documentSchemas[kind].parse(payload);
  return signPayload(kind, Buffer.from(JSON.stringify(checked)), signers);
}

/** Signs payload bytes as they are: for plans, whose bytes were fixed elsewhere. */
export function signPayload(
  kind: DocumentKind,
  payload: Uint8Array,
  signers: readonly Signer[],
): Uint8Array {
  parsePayload(kind, payload);
  const payloadType = mediaType(kind);
  const message = preAuthenticationEncoding(payloadType, payload);
  return encodeEnvelope({
    payloadType,
    payload,
    signatures: signers.map((signer) => ({
      keyid: keyFingerprint(signer.key),
      sig: signer.sign(message),
    })),
  });
}

/** Adds a signature over the same bytes: the second engineer, the next root's threshold. */
export function addSignature(bytes: Uint8Array, signer: Signer): Uint8Array {
  const envelope = openEnvelope(bytes);
  const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
  const keyid = keyFingerprint(signer.key);
  if (envelope.signatures.some((signature) => signature.keyid === keyid)) return bytes;
  return encodeEnvelope({
    ...envelope,
    signatures: [...envelope.signatures, { keyid, sig: signer.sign(message) }],
  });
}

/** The digest by which other documents name this one; throws DocumentError for what is no envelope. */
export function digestOf(bytes: Uint8Array): string {
  return documentDigest(openEnvelope(bytes));
}
