import { describe, expect, it } from 'vitest';
import { createPasskey } from '../../test/fixtures/passkey.ts';
import type { AssertionChanges } from '../../test/fixtures/passkey.ts';
import { verifySignature } from './keys.ts';
import { passkeyObject, verifyPasskeySignature } from './passkey.ts';

const passkey = createPasskey();
const message = Buffer.from('DSSEv1 4 type 7 payload');
const { authenticatorData } = passkey.assert(message).webauthn!;
const clientData = (changes: object) =>
  JSON.stringify({
    ...(JSON.parse(
      Buffer.from(passkey.assert(message).webauthn!.clientDataJSON).toString(),
    ) as object),
    ...changes,
  });

describe("a passkey's signature", () => {
  it('holds for the message it was made for', () => {
    expect(verifyPasskeySignature(passkey.key, message, passkey.assert(message))).toBe(true);
    expect(verifySignature(passkey.key, message, passkey.assert(message))).toBe(true);
  });

  it('holds with what browsers and authenticators may add', () => {
    const added: AssertionChanges[] = [
      { clientData: clientData({ other_keys_can_be_added_here: 'do not compare' }) },
      { clientData: clientData({ crossOrigin: undefined }) },
      { flags: 0x1d },
      { authenticatorData: Buffer.concat([authenticatorData, Buffer.from([0xa0])]) },
    ];
    const holds = added.map((changes) =>
      verifyPasskeySignature(passkey.key, message, passkey.assert(message, changes)),
    );
    expect(holds).toEqual([true, true, true, true]);
  });

  it('holds from every origin the key names', () => {
    const two = createPasskey('example.net', ['https://a.example.net', 'https://b.example.net']);
    const fromSecond = two.assert(message, { origin: 'https://b.example.net' });
    expect(verifyPasskeySignature(two.key, message, fromSecond)).toBe(true);
  });

  it.each<[string, AssertionChanges]>([
    ['another relying party', { rpId: 'evil.example.net' }],
    ['another origin', { origin: 'https://evil.example.net' }],
    ['an origin that only begins the same', { origin: 'https://console.example.net.evil' }],
    ['an origin on another port', { origin: 'https://console.example.net:444' }],
    ['nobody present', { flags: 0x04 }],
    ['nobody verified', { flags: 0x01 }],
    ['no flags at all', { flags: 0x00 }],
    ['another challenge', { challenge: 'A'.repeat(43) }],
    ['no challenge', { challenge: '' }],
    ['a registration instead of an assertion', { type: 'webauthn.create' }],
    ['a page inside another page', { crossOrigin: true }],
    ['client data that is no JSON', { clientData: 'no' }],
    ['client data that is no object', { clientData: 'null' }],
    ['client data that is a text', { clientData: '"webauthn.get"' }],
    [
      'a duplicate key in the client data',
      { clientData: clientData({}).replace('{', '{"type":"webauthn.get",') },
    ],
    [
      'an origin that is a list',
      { clientData: clientData({ origin: ['https://console.example.net'] }) },
    ],
    ['client data over 4 KiB', { clientData: clientData({ filler: 'a'.repeat(4096) }) }],
    [
      'authenticator data cut short',
      { authenticatorData: Buffer.from(authenticatorData.subarray(0, 36)) },
    ],
    [
      'authenticator data over 1 KiB',
      { authenticatorData: Buffer.concat([authenticatorData, Buffer.alloc(1024)]) },
    ],
    ['no authenticator data', { authenticatorData: Buffer.alloc(0) }],
  ])('does not hold with %s', (_what, changes) => {
    const signature = passkey.assert(message, changes);
    expect(verifyPasskeySignature(passkey.key, message, signature)).toBe(false);
  });

  it('does not hold for another message', () => {
    const signature = passkey.assert(message);
    expect(verifyPasskeySignature(passkey.key, Buffer.from('else'), signature)).toBe(false);
  });

  it('does not hold under another key', () => {
    const other = createPasskey();
    expect(verifyPasskeySignature(other.key, message, passkey.assert(message))).toBe(false);
  });

  it('does not hold without its assertion, or with a damaged one', () => {
    const { keyid, sig, webauthn } = passkey.assert(message);
    expect(verifyPasskeySignature(passkey.key, message, { keyid, sig })).toBe(false);
    for (const damaged of [Buffer.alloc(0), Buffer.from('junk'), sig.subarray(1)]) {
      const signature = { keyid, sig: damaged, webauthn: webauthn! };
      expect(verifyPasskeySignature(passkey.key, message, signature)).toBe(false);
    }
    const flipped = Buffer.from(webauthn!.authenticatorData);
    flipped[33]! ^= 1;
    const moved = { keyid, sig, webauthn: { ...webauthn!, authenticatorData: flipped } };
    expect(verifyPasskeySignature(passkey.key, message, moved)).toBe(false);
  });
});

describe('the point of a passkey', () => {
  it('has one encoding', () => {
    expect(passkeyObject(passkey.key.public).asymmetricKeyType).toBe('ec');
    const point = Buffer.from(passkey.key.public, 'base64url');
    const hybrid = Buffer.concat([Buffer.from([0x06 | (point[64]! & 1)]), point.subarray(1)]);
    expect(() => passkeyObject(hybrid.toString('base64url'))).toThrow('uncompressed');
    expect(() => passkeyObject('')).toThrow('uncompressed');
  });
});
