import type { z } from 'zod';
import { parseStrictJson } from './strict-json.ts';

/** Loaded with the first secret: agents and commands that see none do without its memory and its time. */
const loadAge = () => import('age-encryption');

const CONTENT_LIMITS = { bytes: 16 * 1024, depth: 2 };

/**
 * Seals JSON as an age file (age-encryption.org/v1) to one recipient. What says where a secret belongs is
 * sealed along with it, so that a sealed secret moved elsewhere is refused when it is opened. Throws for a
 * secret that UTF-8 cannot carry.
 */
export async function seal(
  recipient: string,
  content: { value: string } & Record<string, string>,
): Promise<Buffer> {
  if (!content.value.isWellFormed()) throw new Error('a secret that is not text');
  const { Encrypter } = await loadAge();
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  return Buffer.from(await encrypter.encrypt(JSON.stringify(content)));
}

/** Throws when it was not sealed to this identity, or holds something else. */
export async function unseal<T>(
  identity: string,
  sealed: Uint8Array,
  schema: z.ZodType<T>,
): Promise<T> {
  const { Decrypter } = await loadAge();
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return schema.parse(parseStrictJson(await decrypter.decrypt(sealed), CONTENT_LIMITS));
}
