import { createPrivateKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { sessionKey } from '../documents/fields.ts';
import {
  deriveSessionKeys,
  generateSessionKey,
  joinSessionKeys,
  splitSessionKeys,
  WeakSessionKeyError,
} from './session-keys.ts';
import type { SessionSubject } from './session-keys.ts';

const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const privateKey = (hex: string) =>
  createPrivateKey({
    key: Buffer.concat([PKCS8_X25519, Buffer.from(hex, 'hex')]),
    format: 'der',
    type: 'pkcs8',
  });
const base64url = (hex: string) => Buffer.from(hex, 'hex').toString('base64url');

/** RFC 7748, 6.1: Alice is the engineer, Bob the agent. */
const alice = privateKey('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a');
const bob = privateKey('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
const subject: SessionSubject = {
  job: '0191f3a2-7b1c-7def-8abc-0123456789ab',
  order: `sha256:${'ab'.repeat(32)}`,
  engineer: base64url('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'),
  agent: base64url('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'),
};

describe('keys of a session', () => {
  it('are those that another implementation of X25519 and HKDF makes', () => {
    const keys = deriveSessionKeys(alice, subject.agent, subject);
    expect(keys.fromEngineer.toString('hex')).toBe(
      'e7c19c9c34916d887235a6b0d18dfa7c4bca0d7fc94d038b5e8902446ff5a076',
    );
    expect(keys.fromAgent.toString('hex')).toBe(
      '6831bfc0de0c222b76a7fe9c935b28757e505d04615e60ad9c3150430c54c20b',
    );
  });

  it('are the same on both sides', () => {
    const engineer = deriveSessionKeys(alice, subject.agent, subject);
    const agent = deriveSessionKeys(bob, subject.engineer, subject);
    expect(joinSessionKeys(engineer)).toEqual(joinSessionKeys(agent));
    expect(splitSessionKeys(joinSessionKeys(agent))).toEqual(engineer);
  });

  it.each([
    ['job', { job: '0191f3a2-7b1c-7def-8abc-0123456789ac' }],
    ['order', { order: `sha256:${'ac'.repeat(32)}` }],
    ['key of the engineer', { engineer: generateSessionKey().public }],
    ['key of the agent', { agent: generateSessionKey().public }],
  ])('are others for another %s', (_what, change) => {
    const keys = deriveSessionKeys(alice, subject.agent, subject);
    const other = deriveSessionKeys(alice, subject.agent, { ...subject, ...change });
    expect(other.fromEngineer).not.toEqual(keys.fromEngineer);
    expect(other.fromAgent).not.toEqual(keys.fromAgent);
  });

  it.each([
    ['zero', '00'.repeat(32)],
    ['one', `01${'00'.repeat(31)}`],
    ['of order 8', 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'],
    ['p', `ed${'ff'.repeat(30)}7f`],
  ])('are refused when the other key is %s', (_what, hex) => {
    const derive = () => deriveSessionKeys(alice, base64url(hex), subject);
    expect(derive).toThrow(WeakSessionKeyError);
  });

  it('are made anew for each session', () => {
    const [one, two] = [generateSessionKey(), generateSessionKey()];
    expect(one.public).not.toBe(two.public);
    expect(sessionKey.parse(one.public)).toBe(one.public);
  });

  it.each(['', 'A'.repeat(42), 'A'.repeat(44), `${'A'.repeat(42)}B`, `${'A'.repeat(42)}=`])(
    'cannot be written as %j',
    (text) => {
      expect(sessionKey.safeParse(text).success).toBe(false);
    },
  );
});
