import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readPrivateFile, writePrivateFile } from './private-file.ts';
import { Profile, refuseDataFolder } from './profile.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivp-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a file with a secret', () => {
  it('is written for its owner alone, in a folder for its owner alone, and nothing lies beside it', () => {
    const path = join(folder, 'keys', 'one.key');
    writePrivateFile(path, 'secret');
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    expect(statSync(join(folder, 'keys')).mode & 0o7777).toBe(0o700);
    expect(readdirSync(join(folder, 'keys'))).toEqual(['one.key']);
    expect(readPrivateFile(path)).toBe('secret');
  });

  it('replaces what was there', () => {
    const path = join(folder, 'token');
    writePrivateFile(path, 'old');
    writePrivateFile(path, 'new');
    expect(readPrivateFile(path)).toBe('new');
  });

  it('that is not there reads as null', () => {
    expect(readPrivateFile(join(folder, 'none'))).toBeNull();
  });

  it.each([0o644, 0o660, 0o602])('is refused when others may use it (mode %o)', (mode) => {
    const path = join(folder, 'key');
    writePrivateFile(path, 'secret');
    chmodSync(path, mode);
    expect(() => readPrivateFile(path)).toThrow(
      expect.objectContaining({ code: 'insecure_file', exitStatus: 3 }),
    );
  });

  it('is refused when others may enter its folder', () => {
    const path = join(folder, 'open', 'key');
    writePrivateFile(path, 'secret');
    chmodSync(join(folder, 'open'), 0o755);
    expect(() => readPrivateFile(path)).toThrow(expect.objectContaining({ code: 'insecure_file' }));
    expect(() => writePrivateFile(path, 'x')).toThrow(
      expect.objectContaining({ code: 'insecure_file' }),
    );
  });

  it('is refused behind a symbolic link, and when it is no file', () => {
    writeFileSync(join(folder, 'real'), 'x', { mode: 0o600 });
    symlinkSync(join(folder, 'real'), join(folder, 'link'));
    expect(() => readPrivateFile(join(folder, 'link'))).toThrow(/symbolic link/);
    expect(() => readPrivateFile(folder)).toThrow(
      expect.objectContaining({ code: 'insecure_file' }),
    );
  });

  it.runIf(process.getuid?.() === 0)('is refused when it belongs to somebody else', async () => {
    const { chownSync } = await import('node:fs');
    const path = join(folder, 'key');
    writePrivateFile(path, 'secret');
    chownSync(path, 65534, 65534);
    expect(() => readPrivateFile(path)).toThrow(/somebody else/);
  });
});

describe('a profile', () => {
  it('says how to log in when nobody has', () => {
    const profile = new Profile(folder, 'carol');
    expect(() => profile.require()).toThrow(
      expect.objectContaining({
        exitStatus: 2,
        next: [{ label: '', command: 'intervene login URL' }],
      }),
    );
  });

  it.each(['../x', 'a/b', '', '.hidden'])('is not called %j', (name) => {
    expect(() => new Profile(folder, name)).toThrow(/no name for a profile/);
  });

  it('says so when it is damaged', () => {
    const profile = new Profile(folder, 'carol');
    writePrivateFile(join(profile.folder, 'profile.json'), '{');
    expect(() => profile.read()).toThrow(expect.objectContaining({ code: 'profile_damaged' }));
  });

  it('never lies in the data folder of a control plane', () => {
    writePrivateFile(join(folder, 'data', 'ca', 'ca.key'), 'x');
    expect(() => refuseDataFolder(join(folder, 'data', 'home', 'profiles', 'x'))).toThrow(
      expect.objectContaining({ code: 'data_folder', exitStatus: 3 }),
    );
    expect(() => refuseDataFolder(join(folder, 'elsewhere'))).not.toThrow();
  });
});
