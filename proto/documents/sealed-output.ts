import { createHash } from 'node:crypto';
import { z } from 'zod';
import { seal, unseal } from './sealing.ts';

/** What one job may hand out: so much goes along with its end in one message. */
export const sealedOutputLimits = {
  count: 8,
  valueBytes: 4 * 1024,
  sealedBytes: 6 * 1024,
} as const;

export const sealedOutputName = z.string().regex(/^[a-z][a-z0-9-]{0,63}$/);

/** Which secret it is: of which job, on which server, under which name. */
export interface SecretOrigin {
  job: string;
  server: string;
  name: string;
}

const contentSchema = z.strictObject({
  job: z.string(),
  server: z.string(),
  name: z.string(),
  value: z.string(),
});

/** Seals a secret that a job made to the client's age recipient. */
export async function sealOutput(
  recipient: string,
  { job, server, name }: SecretOrigin,
  value: string,
): Promise<Buffer> {
  return seal(recipient, { job, server, name, value });
}

/**
 * Throws when it was not sealed to this identity, or is another secret than `origin` says. Anybody can seal to
 * a recipient: that the agent made it is proved by its digest in the job's receipt, and by nothing in here.
 */
export async function openSealedOutput(
  identity: string,
  origin: SecretOrigin,
  sealed: Uint8Array,
): Promise<string> {
  const content = await unseal(identity, sealed, contentSchema);
  if (
    content.job !== origin.job ||
    content.server !== origin.server ||
    content.name !== origin.name
  ) {
    throw new Error('made by another job, on another server, or under another name');
  }
  return content.value;
}

/** As receipts name it. */
export function sealedDigest(sealed: Uint8Array): string {
  return `sha256:${createHash('sha256').update(sealed).digest('hex')}`;
}
