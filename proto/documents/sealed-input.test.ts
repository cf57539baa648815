import { Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { beforeAll, describe, expect, it } from 'vitest';
import { uuidV7 } from '../../test/fixtures/trust-world.ts';
import { openSealedInput, sealInput } from './sealed-input.ts';

const job = uuidV7();
let identity: string;
let recipient: string;

beforeAll(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
});

async function sealRaw(content: string): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  return Buffer.from(await encrypter.encrypt(content)).toString('base64');
}

describe('a sealed input', () => {
  it.each(['a secret', '', 'with\nlines\0and “more”', '{"job":"x"}', 'x'.repeat(8000)])(
    'comes back as it was sealed: %j',
    async (value) => {
      const sealed = await sealInput(recipient, job, 'stdin', value);
      expect(await openSealedInput(identity, job, 'stdin', sealed)).toBe(value);
    },
  );

  it('does not show what it holds, and never looks the same twice', async () => {
    const one = await sealInput(recipient, job, 'stdin', 'a secret');
    const two = await sealInput(recipient, job, 'stdin', 'a secret');
    expect(one).not.toBe(two);
    expect(Buffer.from(one, 'base64').includes('a secret')).toBe(false);
  });

  it('is refused in another job or under another name', async () => {
    const sealed = await sealInput(recipient, job, 'stdin', 'a secret');
    const wrong = 'sealed for another job or input';
    await expect(openSealedInput(identity, uuidV7(), 'stdin', sealed)).rejects.toThrow(wrong);
    await expect(openSealedInput(identity, job, 'password', sealed)).rejects.toThrow(wrong);
  });

  it('is refused by another agent', async () => {
    const sealed = await sealInput(recipient, job, 'stdin', 'a secret');
    const other = await generateX25519Identity();
    await expect(openSealedInput(other, job, 'stdin', sealed)).rejects.toThrow(/identit/);
  });

  it('is refused when a byte of it changes', async () => {
    const sealed = Buffer.from(await sealInput(recipient, job, 'stdin', 'a secret'), 'base64');
    for (const place of [0, 30, sealed.length - 40, sealed.length - 1]) {
      const bytes = Buffer.from(sealed);
      bytes[place]! ^= 1;
      const opened = openSealedInput(identity, job, 'stdin', bytes.toString('base64'));
      await expect(opened).rejects.toThrow(/./);
    }
  });

  it.each([
    ['is no JSON', () => 'no'],
    ['has a field more', () => JSON.stringify({ job, name: 'stdin', value: 'a', more: 1 })],
    ['has a field less', () => JSON.stringify({ job, name: 'stdin' })],
    ['says its job twice', () => `{"job":"${job}","job":"${job}","name":"stdin","value":"a"}`],
    ['is too large', () => JSON.stringify({ job, name: 'stdin', value: 'x'.repeat(17_000) })],
  ])('is refused when its content %s', async (_what, content) => {
    const sealed = await sealRaw(content());
    await expect(openSealedInput(identity, job, 'stdin', sealed)).rejects.toThrow(/./);
  });

  it('is not made of text that cannot be carried', async () => {
    await expect(sealInput(recipient, job, 'stdin', 'a\ud800')).rejects.toThrow('not text');
  });
});
