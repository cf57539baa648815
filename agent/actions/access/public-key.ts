import { createHash } from 'node:crypto';
import { ActionError } from '../../runner/action.ts';

/** A public SSH key as a line of authorized_keys, without options. */
export interface PublicKey {
  type: string;
  /** Base64 of the key itself. */
  blob: string;
  comment: string;
  /** As `ssh-keygen -l` shows it: `SHA256:...`. */
  fingerprint: string;
}

const TYPES =
  /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)$/;

/**
 * Reads a public key that somebody named. Throws ActionError `key_malformed` for anything more or less than
 * one: options before it could make it do anything.
 */
export function parsePublicKey(text: string): PublicKey {
  const [, type, blob, comment = ''] =
    /^([a-z0-9@.-]+) +([A-Za-z0-9+/]+={0,2})(?: +([^\p{C} ][^\p{C}]*)?)?$/u.exec(text.trim()) ?? [];
  if (type === undefined || blob === undefined || !TYPES.test(type) || !isOfType(blob, type)) {
    throw new ActionError(
      'key_malformed',
      'the key is no public SSH key: one line of type, key and comment, without options',
    );
  }
  return { type, blob, comment: comment.trim(), fingerprint: fingerprintOf(blob) };
}

export function fingerprintOf(blob: string): string {
  const hash = createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64');
  return `SHA256:${hash.replace(/=+$/, '')}`;
}

export function keyLine({ type, blob, comment }: PublicKey): string {
  return [type, blob, comment].filter((word) => word !== '').join(' ');
}

/** Whether one of the lines of authorized_keys(5) lets this key in without conditions. */
export function admits(text: string, { type, blob }: PublicKey): boolean {
  return text.split('\n').some((line) => {
    const [first, second] = line.trim().split(/\s+/);
    return first === type && second === blob;
  });
}

/** The lines of authorized_keys(5) that hold a key, whatever else the text is. */
export function linesWithKeys(text: string): string {
  const isKey = (word: string, at: number, words: readonly string[]) =>
    TYPES.test(word) && isOfType(words[at + 1] ?? '', word);
  return text
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#') && line.split(/\s+/).some(isKey))
    .map((line) => `${line}\n`)
    .join('');
}

/** For plans: authorized_keys(5) without options, which may hold what is nobody's business. */
export function withoutOptions(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      const at = line.search(/(?:^|\s)(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+\s+AAAA/);
      return at <= 0 || line.trimStart().startsWith('#') ? line : `(options)${line.slice(at)}`;
    })
    .join('\n');
}

/** The key's own first words are its type (RFC 4253, section 6.6). */
function isOfType(blob: string, type: string): boolean {
  const bytes = Buffer.from(blob, 'base64');
  if (bytes.length < 4 || bytes.toString('base64') !== blob) return false;
  const length = bytes.readUInt32BE(0);
  return length === type.length && bytes.toString('latin1', 4, 4 + length) === type;
}
