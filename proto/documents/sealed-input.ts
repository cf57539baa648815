import { z } from 'zod';
import { parseStrictJson } from './strict-json.ts';

/** Loaded with the first secret: agents and commands that see none do without its memory and its time. */
const loadAge = () => import('age-encryption');

const sealedSchema = z.strictObject({ job: z.string(), name: z.string(), value: z.string() });

/**
 * Seals a secret for one input of one job to an agent's age recipient. Job and name are inside, so that
 * an input moved to another job or another name is refused when it is opened. Throws for text that UTF-8
 * cannot carry.
 */
export async function sealInput(
  recipient: string,
  job: string,
  name: string,
  value: string,
): Promise<string> {
  if (!value.isWellFormed()) throw new Error('a secret that is not text');
  const { Encrypter } = await loadAge();
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  const file = await encrypter.encrypt(JSON.stringify({ job, name, value }));
  return Buffer.from(file).toString('base64');
}

/** Throws when the input was not sealed to this identity, for this job, under this name. */
export async function openSealedInput(
  identity: string,
  job: string,
  name: string,
  sealed: string,
): Promise<string> {
  const { Decrypter } = await loadAge();
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  const plain = await decrypter.decrypt(Buffer.from(sealed, 'base64'));
  const content = sealedSchema.parse(parseStrictJson(plain, { bytes: 16 * 1024, depth: 2 }));
  if (content.job !== job || content.name !== name) {
    throw new Error('sealed for another job or input');
  }
  return content.value;
}
