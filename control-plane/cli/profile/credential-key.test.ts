import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { identityToRecipient } from 'age-encryption';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Terminal } from '../output/terminal.ts';
import { KeyStore } from './key-store.ts';
import { Profile } from './profile.ts';
import { Prompt } from './prompt.ts';

const owner = { person: '0c000000-0000-4000-8000-000000000001', name: 'carol' };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivk-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function store(passphrase: string): KeyStore {
  const file = join(folder, 'passphrase');
  writeFileSync(file, passphrase);
  const terminal = new Terminal(
    { stdout: new PassThrough(), stderr: new PassThrough(), color: false },
    { json: false, color: false },
  );
  const prompt = new Prompt(terminal, { stdin: new PassThrough() }, { input: true });
  return new KeyStore(new Profile(folder, 'carol'), { file, prompt });
}

const keyFile = (kind: string) => join(folder, `profiles/carol/keys/credentials.${kind}`);

describe('the key that new credentials are sealed to', () => {
  it('lies under the passphrase of the signing key that it was made with', async () => {
    const keys = store('correct horse');
    await keys.create('signing', owner, { encrypt: true, forCredentials: true });
    const recipient = keys.credentialKey.recipient();
    expect(readFileSync(keyFile('age'), 'utf8')).not.toContain('AGE-SECRET-KEY');
    expect(statSync(keyFile('age')).mode & 0o777).toBe(0o600);
    const identity = await store('correct horse').credentialKey.open();
    expect(await identityToRecipient(identity)).toBe(recipient);
    await expect(store('wrong').credentialKey.open()).rejects.toMatchObject({
      code: 'passphrase_wrong',
    });
  });

  it('stays when signing keys come and go: what was sealed to it must open', async () => {
    const keys = store('x');
    await keys.create('signing', owner, { encrypt: false, forCredentials: true });
    const recipient = keys.credentialKey.recipient();
    await keys.create('signing-2', owner, { encrypt: false, forCredentials: true });
    expect(keys.credentialKey.recipient()).toBe(recipient);
    expect(keys.list().map(({ name }) => name)).toEqual(['signing', 'signing-2']);
  });

  it('is made anew where a crash came before anybody was told of it', async () => {
    const keys = store('x');
    await keys.create('signing', owner, { encrypt: false, forCredentials: true });
    rmSync(keyFile('recipient'));
    expect(keys.credentialKey.recipient()).toBe(null);
    await keys.create('signing-2', owner, { encrypt: false, forCredentials: true });
    const identity = await keys.credentialKey.open();
    expect(await identityToRecipient(identity)).toBe(keys.credentialKey.recipient());
  });

  it('is nobody’s where none was made, and is not taken for one when it is damaged', async () => {
    const keys = store('x');
    await keys.create('engineer', owner, { encrypt: false });
    expect(keys.credentialKey.recipient()).toBe(null);
    await expect(keys.credentialKey.open()).rejects.toMatchObject({ code: 'no_credential_key' });
    writeFileSync(keyFile('recipient'), 'age1junk\n', { mode: 0o600 });
    expect(() => keys.credentialKey.recipient()).toThrow('is not what was written there');
  });
});
