import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Terminal } from '../output/terminal.ts';
import { decryptKey, encryptKey, isEncrypted } from './key-encryption.ts';
import { KeyStore } from './key-store.ts';
import { Profile } from './profile.ts';
import { Prompt } from './prompt.ts';
import { createRecoveryKey, readRecoveryKey } from './recovery-key.ts';

const owner = { person: '0c000000-0000-4000-8000-000000000001', name: 'carol' };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivk-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function store(passphraseFile?: string): KeyStore {
  const stdin = new PassThrough();
  const terminal = new Terminal(
    { stdout: new PassThrough(), stderr: new PassThrough(), color: false },
    { json: false, color: false },
  );
  const prompt = new Prompt(terminal, { stdin }, { input: true });
  return new KeyStore(new Profile(folder, 'carol'), { file: passphraseFile, prompt });
}

function passphraseFile(text: string): string {
  const path = join(folder, 'passphrase');
  writeFileSync(path, text);
  return path;
}

describe('the keys of a profile', () => {
  it('are made for their owner alone and open again', async () => {
    const made = await store().create('signing', owner, { encrypt: false });
    const path = join(folder, 'profiles/carol/keys/signing.key');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const opened = await store().open('signing');
    expect(opened.key).toEqual(made.key);
    expect(store().list()).toMatchObject([{ name: 'signing', encrypted: false }]);
    expect(store().opensUnattended('signing')).toBe(true);
  });

  it('are encrypted under a passphrase; another one does not open them', async () => {
    const file = passphraseFile('correct horse\n');
    const made = await store(file).create('signing', owner, { encrypt: true });
    const content = readFileSync(join(folder, 'profiles/carol/keys/signing.key'), 'utf8');
    expect(isEncrypted(content)).toBe(true);
    expect(content).not.toContain('PRIVATE KEY');
    expect((await store(file).open('signing')).key).toEqual(made.key);
    expect(store().opensUnattended('signing')).toBe(false);
    writeFileSync(file, 'wrong\n');
    await expect(store(file).open('signing')).rejects.toMatchObject({
      code: 'passphrase_wrong',
      exitStatus: 3,
    });
  });

  it('need somebody to type the passphrase, or a file', async () => {
    await expect(store().create('signing', owner, { encrypt: true })).rejects.toMatchObject({
      code: 'needs_answer',
      exitStatus: 2,
    });
  });

  it('are never overwritten', async () => {
    await store().create('signing', owner, { encrypt: false });
    await expect(store().create('signing', owner, { encrypt: false })).rejects.toMatchObject({
      code: 'key_exists',
    });
    expect(store().freeName('signing')).toBe('signing-2');
  });

  it('have names that are no paths', async () => {
    await expect(store().create('../x', owner, { encrypt: false })).rejects.toMatchObject({
      exitStatus: 2,
    });
  });

  it('that are damaged or missing are named', async () => {
    await store().create('signing', owner, { encrypt: false });
    writeFileSync(join(folder, 'profiles/carol/keys/signing.key'), 'not a key');
    await expect(store().open('signing')).rejects.toMatchObject({ code: 'key_damaged' });
    await expect(store().open('other')).rejects.toMatchObject({ code: 'no_key' });
    writeFileSync(join(folder, 'profiles/carol/keys/signing.pub'), '{}');
    expect(() => store().publicPart('signing')).toThrow(
      expect.objectContaining({ code: 'not_a_public_key' }),
    );
  });

  it('encrypted text that was altered does not open', async () => {
    const content = await encryptKey('pem', 'passphrase', 4);
    expect(await decryptKey(content, 'passphrase', 'x')).toBe('pem');
    const altered = content.replace(/[a-z](?=[^a-z]*-----END)/, '0');
    await expect(decryptKey(altered, 'passphrase', 'x')).rejects.toMatchObject({
      code: 'passphrase_wrong',
    });
  });
});

describe('a recovery key', () => {
  it('is read back from paper, however it was written', () => {
    const { signer, printed } = createRecoveryKey();
    expect(printed).toMatch(/^(?:[0-9A-HJKMNP-TV-Z]{8}-){6}[0-9A-HJKMNP-TV-Z]{8}$/);
    expect(readRecoveryKey(printed).key).toEqual(signer.key);
    const sloppy = printed
      .toLowerCase()
      .replaceAll('-', ' ')
      .replaceAll('0', 'o')
      .replaceAll('1', 'l');
    expect(readRecoveryKey(sloppy).key).toEqual(signer.key);
  });

  it('with one wrong letter is refused', () => {
    const { printed } = createRecoveryKey();
    const wrong = (printed.startsWith('7') ? '8' : '7') + printed.slice(1);
    expect(() => readRecoveryKey(wrong)).toThrow(
      expect.objectContaining({ code: 'recovery_key_wrong' }),
    );
    expect(() => readRecoveryKey(printed.slice(1))).toThrow(/not a recovery key/);
    expect(() => readRecoveryKey('')).toThrow(/not a recovery key/);
  });
});
