import { createHash } from 'node:crypto';
import { z } from 'zod';
import { parseStrictJson } from './strict-json.ts';

/** Bytes of an envelope on the wire; a 64 KiB payload in base64 with a few signatures fits. */
export const ENVELOPE_MAX_BYTES = 96 * 1024;

const base64 = z
  .string()
  .max(ENVELOPE_MAX_BYTES)
  .transform((text, context) => {
    const bytes = Buffer.from(text, 'base64');
    // Buffer skips what is not base64; only text that encodes back to itself is accepted.
    if (bytes.toString('base64') !== text) {
      context.addIssue({ code: 'custom', message: 'not canonical base64' });
      return z.NEVER;
    }
    return bytes as Uint8Array;
  });

const signatureSchema = z.strictObject({
  keyid: z.string().max(128),
  sig: base64,
  /** Present when a passkey signed: the signature is over these, with SHA-256(PAE) as challenge. */
  webauthn: z.strictObject({ authenticatorData: base64, clientDataJSON: base64 }).optional(),
});

const envelopeSchema = z.strictObject({
  payloadType: z.string().max(128),
  payload: base64,
  /** A new root may need eight signatures of the old keys and eight of its own. */
  signatures: z.array(signatureSchema).min(1).max(16),
});

export type EnvelopeSignature = z.output<typeof signatureSchema>;

/** A DSSE envelope (secure-systems-lab/dsse, protocol 1.0), taken apart but not verified. */
export type Envelope = z.output<typeof envelopeSchema>;

/** Throws StrictJsonError or ZodError for anything that is not exactly an envelope. */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  const json = parseStrictJson(bytes, { bytes: ENVELOPE_MAX_BYTES, depth: 8 });
  return envelopeSchema.parse(json);
}

export function encodeEnvelope(envelope: Envelope): Uint8Array {
  return Buffer.from(
    JSON.stringify({
      payloadType: envelope.payloadType,
      payload: Buffer.from(envelope.payload).toString('base64'),
      signatures: envelope.signatures.map((signature) => ({
        keyid: signature.keyid,
        sig: Buffer.from(signature.sig).toString('base64'),
        ...(signature.webauthn && {
          webauthn: {
            authenticatorData: Buffer.from(signature.webauthn.authenticatorData).toString('base64'),
            clientDataJSON: Buffer.from(signature.webauthn.clientDataJSON).toString('base64'),
          },
        }),
      })),
    }),
  );
}

/** The bytes that are signed: DSSE's pre-authentication encoding. */
export function preAuthenticationEncoding(type: string, payload: Uint8Array): Uint8Array {
  const typeBytes = Buffer.from(type, 'utf8');
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${typeBytes.length} `),
    typeBytes,
    Buffer.from(` ${payload.byteLength} `),
    payload,
  ]);
}

/**
 * How documents name each other: `sha256:` and the hex SHA-256 of the signed bytes, so that the type is
 * part of it and adding a signature does not change it.
 */
export function documentDigest(envelope: Pick<Envelope, 'payloadType' | 'payload'>): string {
  const signed = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
  return `sha256:${createHash('sha256').update(signed).digest('hex')}`;
}
