import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { documentSamples } from '../../test/fixtures/document-samples.ts';
import { createPasskey } from '../../test/fixtures/passkey.ts';
import { createTrustWorld, createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld } from '../../test/fixtures/trust-world.ts';
import {
  addSignature,
  digestOf,
  DocumentError,
  documentKinds,
  mediaType,
  openDocument,
  readKind,
  readUnverified,
  signDocument,
  signPayload,
  trustedSigners,
} from './document.ts';
import type { DocumentKind } from './document.ts';
import { encodeEnvelope, parseEnvelope, preAuthenticationEncoding } from './dsse.ts';
import type { Envelope } from './dsse.ts';
import { keyFingerprint } from './keys.ts';
import type { PublicKey } from './keys.ts';
import type { RefusalReason } from './reasons.ts';

let world: TrustWorld;
let samples: ReturnType<typeof documentSamples>;

beforeAll(async () => {
  world = await createTrustWorld();
  samples = documentSamples(world);
});

const kind = fc.constantFrom(...documentKinds);

describe('a document', () => {
  it.each(documentKinds)('of kind %s comes back as it was signed', (name) => {
    const { envelope, payload, keys, signer } = samples[name];
    const opened = openDocument(name, envelope, keys);
    expect(opened.payload).toEqual(payload);
    expect(opened.signers).toEqual(keys);
    expect(opened.digest).toBe(digestOf(envelope));
    expect(readKind(envelope)).toBe(name);
    const again = signPayload(name, opened.payloadBytes, [signer]);
    expect(Buffer.from(again)).toEqual(Buffer.from(envelope));
  });

  it('is refused or the very same, whichever byte of its envelope changes', () => {
    fc.assert(
      fc.property(kind, fc.nat(), fc.integer({ min: 1, max: 255 }), (name, place, change) => {
        const bytes = Buffer.from(samples[name].envelope);
        bytes[place % bytes.length]! ^= change;
        expect(isRefusedOrSame(name, bytes)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it('is refused or the very same, whatever is cut out, doubled or put in', () => {
    const edit = fc.record({
      at: fc.nat(),
      remove: fc.nat({ max: 40 }),
      insert: fc.oneof(
        fc.string({ maxLength: 20 }),
        fc.constantFrom(' ', '\n', '"extra":1,', '{"keyid":"","sig":""},', '=', '\\u0061'),
      ),
    });
    fc.assert(
      fc.property(kind, fc.array(edit, { minLength: 1, maxLength: 3 }), (name, edits) => {
        let text = Buffer.from(samples[name].envelope).toString();
        for (const { at, remove, insert } of edits) {
          const place = at % text.length;
          text = text.slice(0, place) + insert + text.slice(place + remove);
        }
        expect(isRefusedOrSame(name, Buffer.from(text))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('is refused for every bit of a signed order that flips', () => {
    const { envelope, keys } = samples.order;
    const accepted: number[] = [];
    for (let place = 0; place < envelope.length; place++) {
      const bytes = Buffer.from(envelope);
      bytes[place]! ^= 1 << (place % 8);
      if (reasonOf(() => openDocument('order', bytes, keys)) === undefined) accepted.push(place);
    }
    expect(accepted).toEqual([]);
  });

  it('is refused as any other kind', () => {
    const pairs = documentKinds.flatMap((from) =>
      documentKinds.filter((to) => to !== from).map((to) => ({ from, to })),
    );
    const reasons = pairs.flatMap(({ from, to }) => {
      const { envelope, keys, signer } = samples[from];
      const parsed = parseEnvelope(envelope);
      const relabelled = encodeEnvelope({ ...parsed, payloadType: mediaType(to) });
      return [
        reasonOf(() => openDocument(to, envelope, keys)),
        reasonOf(() => readUnverified(to, envelope)),
        reasonOf(() => trustedSigners(to, envelope, keys)),
        reasonOf(() => openDocument(to, relabelled, keys)),
        reasonOf(() => openDocument(to, relabelled, [...keys, signer.key])),
      ];
    });
    expect(new Set(reasons)).toEqual(new Set(['type_not_allowed_for_key', 'signature_invalid']));
  });

  it('says what its kind says, also when a trusted key signs something else', () => {
    const twins = new Set(['lead engineer', 'engineer lead']);
    const pairs = documentKinds.flatMap((from) =>
      documentKinds
        .filter((to) => to !== from && !twins.has(`${from} ${to}`))
        .map((to) => ({ from, to })),
    );
    const reasons = pairs.map(({ from, to }) => {
      const { payloadBytes } = openDocument(from, samples[from].envelope, samples[from].keys);
      const { signer, keys } = samples[to];
      return reasonOf(() => openDocument(to, seal(mediaType(to), payloadBytes, [signer]), keys));
    });
    expect(new Set(reasons)).toEqual(new Set(['payload_malformed']));
  });

  it.each<[string, (payload: Record<string, unknown>) => unknown]>([
    ['an unknown field', (payload) => ({ ...payload, extra: 1 })],
    ['a field less', ({ reason: _reason, ...payload }) => payload],
    ['null', () => null],
    ['a list', () => []],
  ])('is refused with %s', (_what, change) => {
    const { payload, signer, keys } = samples.order;
    const bytes = Buffer.from(JSON.stringify(change({ ...payload })));
    const envelope = seal(mediaType('order'), bytes, [signer]);
    expect(reasonOf(() => openDocument('order', envelope, keys))).toBe('payload_malformed');
    expect(() => signPayload('order', bytes, [signer])).toThrow(DocumentError);
  });

  it('is refused when a key stands in it twice', () => {
    const { payload, signer, keys } = samples.order;
    const text = JSON.stringify(payload).replace('{', '{"action":"command.run",');
    const envelope = seal(mediaType('order'), Buffer.from(text), [signer]);
    expect(reasonOf(() => openDocument('order', envelope, keys))).toBe('payload_malformed');
  });

  it('quotes what is wrong in a bounded, well-formed text', () => {
    const { signer, keys } = samples.order;
    const payload = Buffer.from(`{"${'\u{1F600}'.repeat(400)}":1,"${'\u{1F600}'.repeat(400)}":2}`);
    const error = errorOf(() =>
      openDocument('order', seal(mediaType('order'), payload, [signer]), keys),
    );
    expect(error.message.length).toBeLessThan(400);
    expect(error.message.isWellFormed()).toBe(true);
  });
});

describe('signatures', () => {
  const order = () => samples.order;
  const withSignatures = (
    change: (signatures: Envelope['signatures']) => Envelope['signatures'],
  ) => {
    const parsed = parseEnvelope(order().envelope);
    return encodeEnvelope({ ...parsed, signatures: change(parsed.signatures) });
  };
  const reason = (envelope: Uint8Array, keys: PublicKey[] = order().keys) =>
    reasonOf(() => openDocument('order', envelope, keys));

  it('must all come from trusted keys', () => {
    const both = addSignature(order().envelope, createWorldKey().signer);
    expect(reason(both)).toBe('signer_unknown');
    expect(reason(order().envelope, [])).toBe('signer_unknown');
  });

  it('must all hold', () => {
    const second = world.engineers[1];
    const forged = withSignatures((signatures) => [
      ...signatures,
      { keyid: second.fingerprint, sig: signatures[0]!.sig },
    ]);
    expect(reason(forged, [...order().keys, second.key])).toBe('signature_invalid');
  });

  it('count once for each key', () => {
    const doubled = withSignatures((signatures) => [...signatures, ...signatures]);
    expect(reason(doubled)).toBe('signature_invalid');
    const { signer } = order();
    expect(addSignature(order().envelope, signer)).toBe(order().envelope);
    const both = addSignature(order().envelope, world.engineers[1].signer);
    expect(addSignature(both, signer)).toBe(both);
  });

  it('name their key exactly', () => {
    for (const keyid of ['', 'SHA256:', order().keys[0]!.public, 'constructor']) {
      const renamed = withSignatures(([signature]) => [{ ...signature!, keyid }]);
      expect(reason(renamed)).toBe('signer_unknown');
    }
  });

  it('under the name of another trusted key do not hold', () => {
    const { key, fingerprint } = world.engineers[1];
    const renamed = withSignatures(([signature]) => [{ ...signature!, keyid: fingerprint }]);
    expect(reason(renamed, [...order().keys, key])).toBe('signature_invalid');
  });

  it('of several people stand on the same bytes', () => {
    const [first, second] = world.engineers;
    const both = addSignature(order().envelope, second.signer);
    const opened = openDocument('order', both, [second.key, first.key]);
    expect(opened.signers).toEqual([first.key, second.key]);
    expect(opened.digest).toBe(digestOf(order().envelope));
  });

  it('of a passkey count like others, for keys that are passkeys', () => {
    const passkey = createPasskey();
    const envelope = passkey.signDocument('grant', samples.grant.payload);
    expect(openDocument('grant', envelope, [passkey.key]).signers).toEqual([passkey.key]);
    const parsed = parseEnvelope(envelope);
    const stripped = encodeEnvelope({
      ...parsed,
      signatures: parsed.signatures.map(({ keyid, sig }) => ({ keyid, sig })),
    });
    expect(reasonOf(() => openDocument('grant', stripped, [passkey.key]))).toBe(
      'signature_invalid',
    );
  });

  it('by trusted keys are found among others, and must hold', () => {
    const stranger = createWorldKey();
    const both = addSignature(order().envelope, stranger.signer);
    expect(trustedSigners('order', both, order().keys)).toEqual(order().keys);
    expect(trustedSigners('order', both, [])).toEqual([]);
    const forged = withSignatures(([signature]) => [
      { ...signature!, sig: stranger.signer.sign(Buffer.from('else')) },
    ]);
    expect(reasonOf(() => trustedSigners('order', forged, order().keys))).toBe('signature_invalid');
  });
});

describe('size', () => {
  it('of an envelope is judged before anything else', () => {
    const bytes = Buffer.alloc(96 * 1024 + 1, 0x20);
    expect(reasonOf(() => openDocument('order', bytes, []))).toBe('document_too_large');
    expect(reasonOf(() => digestOf(bytes))).toBe('document_too_large');
  });

  it('of a payload is judged before its signature', () => {
    const { signer } = samples.order;
    const envelope = seal(mediaType('order'), Buffer.alloc(64 * 1024 + 1, 0x20), [signer]);
    expect(reasonOf(() => openDocument('order', envelope, []))).toBe('document_too_large');
    const bytes = Buffer.alloc(64 * 1024 + 1, 0x20);
    expect(reasonOf(() => signPayload('order', bytes, [signer]))).toBe('document_too_large');
  });
});

describe('an envelope', () => {
  it.each(['', '{}', '[]', 'null', 'no', '{"payloadType":"a"}'])(
    'that is %j is refused',
    (text) => {
      const bytes = Buffer.from(text);
      expect(reasonOf(() => readKind(bytes))).toBe('envelope_malformed');
      expect(reasonOf(() => addSignature(bytes, world.root.signer))).toBe('envelope_malformed');
    },
  );

  it('of a type nobody knows is no kind', () => {
    const envelope = seal('application/vnd.intervene.order.v2+json', Buffer.from('{}'), [
      world.root.signer,
    ]);
    expect(readKind(envelope)).toBeUndefined();
  });
});

describe('reading without verifying', () => {
  it('tells who claims to have signed', () => {
    const read = readUnverified('order', samples.order.envelope);
    expect(read.keyids).toEqual(samples.order.keys.map(keyFingerprint));
    expect(read.payload).toEqual(samples.order.payload);
    expect(read.digest).toBe(digestOf(samples.order.envelope));
    expect(read.envelope.payloadType).toBe(mediaType('order'));
  });
});

describe('signing', () => {
  it('refuses a payload that is not of its kind', () => {
    const { signer, payload } = samples.order;
    const wrong = { ...payload, nonce: 'short' };
    expect(() => signDocument('order', wrong, [signer])).toThrow(/nonce/);
    const fraction = { ...payload, parameters: { size: 1.5 } };
    expect(() => signDocument('order', fraction, [signer])).toThrow('not an integer');
    const surrogate = { ...payload, reason: '\ud800' };
    expect(() => signDocument('order', surrogate, [signer])).toThrow('lone surrogate');
  });
});

/** What somebody with a key, but not our code, could make. */
function seal(
  payloadType: string,
  payload: Uint8Array,
  signers: readonly { key: PublicKey; sign(message: Uint8Array): Uint8Array }[],
): Uint8Array {
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

function isRefusedOrSame(name: DocumentKind, bytes: Uint8Array): boolean {
  const { keys, envelope } = samples[name];
  const original = openDocument(name, envelope, keys);
  try {
    const opened = openDocument(name, bytes, keys);
    return (
      opened.digest === original.digest &&
      JSON.stringify([opened.payload, opened.signers]) ===
        JSON.stringify([original.payload, original.signers])
    );
  } catch (error) {
    return error instanceof DocumentError;
  }
}

function reasonOf(open: () => unknown): RefusalReason | undefined {
  try {
    open();
    return undefined;
  } catch (error) {
    if (error instanceof DocumentError) return error.reason;
    throw error;
  }
}

function errorOf(open: () => unknown): Error {
  try {
    open();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}
