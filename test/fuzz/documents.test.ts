import { beforeAll, describe, expect, it } from 'vitest';
import {
  DocumentError,
  documentKinds,
  mediaType,
  openDocument,
} from '../../proto/documents/document.ts';
import type { DocumentKind } from '../../proto/documents/document.ts';
import {
  encodeEnvelope,
  parseEnvelope,
  preAuthenticationEncoding,
} from '../../proto/documents/dsse.ts';
import type { Envelope } from '../../proto/documents/dsse.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import { documentSamples } from '../fixtures/document-samples.ts';
import type { DocumentSample } from '../fixtures/document-samples.ts';
import { createTrustWorld, createWorldKey } from '../fixtures/trust-world.ts';
import { createChance, mutate, NASTY_VALUES } from './mutation.ts';

const RUNS = 50_000;
/** The order of the group (RFC 8032, 5.1): a signature whose S is larger is another one for the same text. */
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

const chance = createChance();
let samples: Record<DocumentKind, DocumentSample>;
const stranger = createWorldKey();

beforeAll(async () => {
  samples = documentSamples(await createTrustWorld()) as Record<DocumentKind, DocumentSample>;
});

/** A change of one place of a JSON value, anywhere in it. */
function changed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || chance.below(4) === 0) {
    return chance.pick(NASTY_VALUES);
  }
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
  const keys = Object.keys(copy);
  if (keys.length === 0 || chance.below(8) === 0) copy['surprise'] = chance.pick(NASTY_VALUES);
  else {
    const key = chance.pick(keys);
    if (chance.below(5) === 0) delete copy[key];
    else copy[key] = changed(copy[key]);
  }
  return copy;
}

const jsonOf = (value: unknown) => Buffer.from(JSON.stringify(value) ?? 'null');

type Forgery = (envelope: Envelope, sample: DocumentSample) => Uint8Array;

const forgeries: Record<string, Forgery> = {
  'bytes of the envelope': (envelope) =>
    mutate(chance, Buffer.from(encodeEnvelope(envelope)), PIECES),
  'a field of the payload': (envelope, sample) =>
    encodeEnvelope({ ...envelope, payload: jsonOf(changed(sample.payload)) }),
  'bytes of the payload': (envelope) =>
    encodeEnvelope({ ...envelope, payload: mutate(chance, Buffer.from(envelope.payload), PIECES) }),
  'the type': (envelope) =>
    encodeEnvelope({
      ...envelope,
      payloadType: chance.pick([...documentKinds.map(mediaType), '', 'text/plain']),
    }),
  'the signature': (envelope) =>
    withSignature(envelope, mutate(chance, Buffer.from(envelope.signatures[0]!.sig), PIECES)),
  'the scalar of the signature': (envelope) =>
    withSignature(envelope, addGroupOrder(envelope.signatures[0]!.sig)),
  'who signed': (envelope) =>
    encodeEnvelope({
      ...envelope,
      signatures: envelope.signatures.map((signature) => ({
        ...signature,
        keyid: chance.pick(['', 'SHA256:', keyFingerprint(stranger.key), signature.keyid.slice(1)]),
      })),
    }),
  'the signatures, by the same one twice': (envelope) =>
    encodeEnvelope({ ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] }),
  'the signatures, by one of a stranger': (envelope) =>
    encodeEnvelope({
      ...envelope,
      signatures: chance.pick([
        [signatureOf(stranger, envelope)],
        [...envelope.signatures, signatureOf(stranger, envelope)],
        [{ ...signatureOf(stranger, envelope), keyid: envelope.signatures[0]!.keyid }],
      ]),
    }),
  'the signatures, by none': (envelope) => encodeEnvelope({ ...envelope, signatures: [] }),
};

const PIECES = [
  '{',
  '}',
  '"',
  ',',
  '":1,"',
  '==',
  '\\u0000',
  '[[[[',
  '"signatures":[],',
  '\ufeff',
].map((text) => Buffer.from(text));

function withSignature(envelope: Envelope, sig: Uint8Array): Uint8Array {
  return encodeEnvelope({ ...envelope, signatures: [{ ...envelope.signatures[0]!, sig }] });
}

function signatureOf(by: typeof stranger, { payloadType, payload }: Envelope) {
  const sig = by.signer.sign(preAuthenticationEncoding(payloadType, payload));
  return { keyid: keyFingerprint(by.key), sig };
}

function addGroupOrder(signature: Uint8Array): Uint8Array {
  const copy = Buffer.from(signature);
  let scalar = GROUP_ORDER;
  for (let at = 63; at >= 32; at--) scalar += BigInt(copy[at]!) << BigInt(8 * (at - 32));
  for (let at = 32; at < 64; at++) copy[at] = Number((scalar >> BigInt(8 * (at - 32))) & 0xffn);
  return copy;
}

/** Undefined when it was refused as documents are; what was opened otherwise. */
function open(kind: DocumentKind, bytes: Uint8Array, sample: DocumentSample) {
  try {
    return openDocument(kind, bytes, sample.keys);
  } catch (error) {
    if (error instanceof DocumentError) return undefined;
    throw error;
  }
}

describe(`forged documents (seed ${chance.seed})`, () => {
  it(`of ${RUNS} none is taken for what it is not`, () => {
    const names = Object.keys(forgeries);
    const taken: string[] = [];
    for (let run = 0; run < RUNS; run++) {
      const kind = chance.pick(documentKinds);
      const name = names[run % names.length]!;
      const sample = samples[kind];
      const original = parseEnvelope(sample.envelope);
      const opened = open(kind, forgeries[name]!(original, sample), sample);
      if (opened === undefined) continue;
      // The same document written differently, or an edit that changed nothing.
      const isSame =
        Buffer.compare(opened.payloadBytes, original.payload) === 0 &&
        opened.signers.length === 1 &&
        opened.signers[0] === sample.keys[0];
      if (!isSame) taken.push(`${kind}: ${name} (run ${run})`);
    }
    expect(taken).toEqual([]);
  });

  it('with a right signature over a wrong payload are refused or valid, and nothing else', () => {
    expect.hasAssertions();
    for (let run = 0; run < 5_000; run++) {
      const kind = chance.pick(documentKinds);
      const sample = samples[kind];
      const payload = chance.below(2)
        ? jsonOf(changed(sample.payload))
        : mutate(chance, jsonOf(sample.payload), PIECES);
      const envelope = { payloadType: mediaType(kind), payload };
      const sig = sample.signer.sign(preAuthenticationEncoding(envelope.payloadType, payload));
      const signatures = [{ keyid: keyFingerprint(sample.signer.key), sig }];
      const opened = open(kind, encodeEnvelope({ ...envelope, signatures }), sample);
      if (opened !== undefined) expect(JSON.parse(payload.toString())).toEqual(opened.payload);
    }
  });
});
