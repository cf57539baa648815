import { z } from 'zod';
import type { Credential } from './kinds/credential.ts';
import { seal, unseal } from './sealing.ts';

/** Of the age file, so that an order, its papers and several secrets fit into one message. */
export const GIVEN_SECRET_MAX_BYTES = 12 * 1024;

/** What the client gave it for. */
export type GivenFor = Pick<Credential, 'id' | 'grant' | 'server' | 'action' | 'input'>;

const contentSchema = z.strictObject({
  id: z.string(),
  grant: z.string(),
  server: z.string(),
  action: z.string(),
  input: z.string(),
  value: z.string(),
});

/** Seals a secret that the client gives to an agent's age recipient. */
export async function sealGivenSecret(
  recipient: string,
  { id, grant, server, action, input }: GivenFor,
  value: string,
): Promise<Buffer> {
  return seal(recipient, { id, grant, server, action, input, value });
}

/**
 * Throws when it was not sealed to this identity, or was given for something else. That the client gave it, their
 * signature on the credential says, which names the digest of `sealed`.
 */
export async function openGivenSecret(
  identity: string,
  given: GivenFor,
  sealed: Uint8Array,
): Promise<string> {
  const { value, ...content } = await unseal(identity, sealed, contentSchema);
  const names = ['id', 'grant', 'server', 'action', 'input'] as const;
  const moved = names.find((name) => content[name] !== given[name]);
  if (moved !== undefined) throw new Error(`a secret that was given for another ${moved}`);
  return value;
}
