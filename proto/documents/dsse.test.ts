import { createHash, createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  documentDigest,
  encodeEnvelope,
  ENVELOPE_MAX_BYTES,
  parseEnvelope,
  preAuthenticationEncoding,
} from './dsse.ts';

const TYPE = 'http://example.com/HelloWorld';
const PAYLOAD = Buffer.from('hello world');
const PAE = 'DSSEv1 29 http://example.com/HelloWorld 11 hello world';

/** The example of the DSSE protocol specification: ECDSA over P-256, the signature as r and s. */
const specification = {
  x: 46950820868899156662930047687818585632848591499744589407958293238635476079160n,
  y: 5640078356564379163099075877009565129882514886557779369047442380624545832820n,
  envelope: {
    payload: 'aGVsbG8gd29ybGQ=',
    payloadType: TYPE,
    signatures: [
      {
        keyid: '66301bbf',
        sig: 'A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==',
      },
    ],
  },
};

const envelopeText = (changes: object = {}) =>
  Buffer.from(
    JSON.stringify({
      payloadType: TYPE,
      payload: PAYLOAD.toString('base64'),
      signatures: [{ keyid: 'a', sig: 'AAAA' }],
      ...changes,
    }),
  );

describe('the pre-authentication encoding', () => {
  it('is that of the specification', () => {
    expect(Buffer.from(preAuthenticationEncoding(TYPE, PAYLOAD)).toString()).toBe(PAE);
  });

  it('counts bytes, not characters', () => {
    const bytes = preAuthenticationEncoding('tüp', Buffer.from('€'));
    expect(Buffer.from(bytes).toString()).toBe('DSSEv1 4 tüp 3 €');
  });

  it('is that of an empty payload, too', () => {
    expect(Buffer.from(preAuthenticationEncoding('', Buffer.alloc(0))).toString()).toBe(
      'DSSEv1 0  0 ',
    );
  });
});

describe('envelopes', () => {
  it('of the specification are read, and their signature holds', () => {
    const envelope = parseEnvelope(Buffer.from(JSON.stringify(specification.envelope)));
    const coordinate = (value: bigint) =>
      Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toString('base64url');
    const key = createPublicKey({
      format: 'jwk',
      key: {
        kty: 'EC',
        crv: 'P-256',
        x: coordinate(specification.x),
        y: coordinate(specification.y),
      },
    });
    const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
    const { sig } = envelope.signatures[0]!;
    expect(verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, sig)).toBe(true);
  });

  it('come back as they were encoded', () => {
    const envelope = {
      payloadType: TYPE,
      payload: PAYLOAD,
      signatures: [
        { keyid: 'a', sig: Buffer.from([1, 2, 3]) },
        {
          keyid: 'b',
          sig: Buffer.from([4]),
          webauthn: { authenticatorData: Buffer.from([5]), clientDataJSON: Buffer.from('{}') },
        },
      ],
    };
    expect(parseEnvelope(encodeEnvelope(envelope))).toEqual(envelope);
  });

  it.each([
    ['no signature', { signatures: [] }],
    ['17 signatures', { signatures: Array.from({ length: 17 }, () => ({ keyid: 'a', sig: '' })) }],
    ['an unknown field', { extra: 1 }],
    ['an unknown field in a signature', { signatures: [{ keyid: 'a', sig: '', alg: 'none' }] }],
    ['a signature without keyid', { signatures: [{ sig: 'AAAA' }] }],
    ['half a passkey signature', { signatures: [{ keyid: 'a', sig: '', webauthn: {} }] }],
    ['no payload', { payload: undefined }],
    ['a payload that is no text', { payload: 1 }],
    ['base64url', { payload: '-_-_' }],
    ['base64 without padding', { payload: 'aGVsbG8gd29ybGQ' }],
    ['base64 with bits left over', { payload: 'aGVsbG8gd29ybGR=' }],
    ['base64 with space', { payload: 'aGVs bG8gd29ybGQ=' }],
    ['a type over the limit', { payloadType: 'a'.repeat(129) }],
  ])('are refused with %s', (_what, changes) => {
    expect(() => parseEnvelope(envelopeText(changes))).toThrow(/./);
  });

  it('are refused when they are too large', () => {
    const bytes = envelopeText({ payload: Buffer.alloc(ENVELOPE_MAX_BYTES).toString('base64') });
    expect(() => parseEnvelope(bytes)).toThrow('bytes, at most');
  });
});

describe('the digest of a document', () => {
  it('is the SHA-256 of the signed bytes', () => {
    const hash = createHash('sha256').update(PAE).digest('hex');
    expect(documentDigest({ payloadType: TYPE, payload: PAYLOAD })).toBe(`sha256:${hash}`);
  });

  it('names the type, too', () => {
    const other = documentDigest({ payloadType: 'other', payload: PAYLOAD });
    expect(other).not.toBe(documentDigest({ payloadType: TYPE, payload: PAYLOAD }));
  });
});
