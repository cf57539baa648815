import { z } from 'zod';
import { seal, unseal } from './sealing.ts';

const contentSchema = z.strictObject({ job: z.string(), name: z.string(), value: z.string() });

/** Seals a secret for one input of one job to an agent's age recipient, as base64. */
export async function sealInput(
  recipient: string,
  job: string,
  name: string,
  value: string,
): Promise<string> {
  return (await seal(recipient, { job, name, value })).toString('base64');
}

/** Throws when the input was not sealed to this identity, for this job, under this name. */
export async function openSealedInput(
  identity: string,
  job: string,
  name: string,
  sealed: string,
): Promise<string> {
  const content = await unseal(identity, Buffer.from(sealed, 'base64'), contentSchema);
  if (content.job !== job || content.name !== name) {
    throw new Error('sealed for another job or input');
  }
  return content.value;
}
