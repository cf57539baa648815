import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { expect, it } from 'vitest';
import { openSealedOutput, sealedOutputLimits, sealOutput } from './sealed-output.ts';

const origin = { job: 'a', server: 'b', name: 'password' };
const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);

it.each(['pa55-Wörd', '', 'x"\\\n\0'.repeat(800)])('a secret comes back: %j', async (value) => {
  const sealed = await sealOutput(recipient, origin, value);
  expect(sealed.includes(value) && value !== '').toBe(false);
  expect(await openSealedOutput(identity, origin, sealed)).toBe(value);
});

it.each([{ job: 'c' }, { server: 'c' }, { name: 'c' }])(
  'a secret shown as that of another (%j) is not opened',
  async (change) => {
    const sealed = await sealOutput(recipient, origin, 'secret');
    const opened = openSealedOutput(identity, { ...origin, ...change }, sealed);
    await expect(opened).rejects.toThrow('another');
  },
);

it('a secret is not opened with another key, nor when it was changed', async () => {
  const sealed = await sealOutput(recipient, origin, 'secret');
  const other = await generateX25519Identity();
  await expect(openSealedOutput(other, origin, sealed)).rejects.toThrow(/identit/);
  sealed[sealed.length - 1]! ^= 1;
  await expect(openSealedOutput(identity, origin, sealed)).rejects.toThrow(/./);
});

it('the longest secret stays within the limit of what is sent', async () => {
  const sealed = await sealOutput(recipient, origin, 'x'.repeat(sealedOutputLimits.valueBytes));
  expect(sealed.length).toBeLessThanOrEqual(sealedOutputLimits.sealedBytes);
});
