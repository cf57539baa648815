import { createHash, randomBytes } from 'node:crypto';

const BYTES = 32;
const PREFIX = { api: 'ivt_', invitation: 'ivi_' } as const;
export type TokenKind = keyof typeof PREFIX;

/** A secret that stands for a person, 256 bits; its prefix says what leaked when one is found. */
export function createToken(kind: TokenKind): string {
  return PREFIX[kind] + randomBytes(BYTES).toString('base64url');
}

/**
 * What is stored, and looked up: a lookup by hash takes the same time however much of a guess is right.
 * Undefined for what cannot be a token of this kind.
 */
export function hashToken(kind: TokenKind, token: string): Buffer | undefined {
  const isToken = token.startsWith(PREFIX[kind]) && /^[a-z]{3}_[A-Za-z0-9_-]{43}$/.test(token);
  return isToken ? createHash('sha256').update(token).digest() : undefined;
}
