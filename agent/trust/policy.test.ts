import { createHash } from 'node:crypto';
import { chmod, chown, link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { POLICY_MAX_BYTES, PolicyFile } from './policy.ts';
import type { PolicyReading } from './policy.ts';

const owner = process.getuid!();
const TEXT = 'version = 1\nallow = ["filesystem.*"]\nhighest-class = "C"\n';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'ivpo-'));
  file = path.join(folder, 'policy.toml');
  await writeFile(file, TEXT, { mode: 0o644 });
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const read = (name = file, user = owner) => new PolicyFile(name, user).read();
const whyNot = (reading: PolicyReading) => (reading.usable ? 'usable' : reading.why);

describe('a policy file', () => {
  it('with an entry that there is none of is told which there are', async () => {
    await writeFile(file, 'version = 1\nallow-no-undo = true\n');
    expect(whyNot(read())).toMatch(
      /Unrecognized key: "allow-no-undo"; it may have version, allow, .*allow-steps-without-undo/,
    );
  });

  it('is read with the digest of its bytes', () => {
    expect(read()).toEqual({
      usable: true,
      digest: `sha256:${createHash('sha256').update(TEXT).digest('hex')}`,
      policy: {
        version: 1,
        allow: ['filesystem.*'],
        deny: [],
        'highest-class': 'C',
        'engineers-for-class-c': 1,
        'engineers-for-class-c-attested': 2,
        'record-terminal-input': false,
        'allow-steps-without-undo': false,
      },
    });
  });

  it('counts as it is now', async () => {
    const policy = new PolicyFile(file, owner);
    expect(policy.read().usable).toBe(true);
    await writeFile(file, 'version = 1\nhighest-class = "B"\n');
    expect(policy.read()).toMatchObject({ policy: { allow: [], 'highest-class': 'B' } });
    await chmod(file, 0o666);
    expect(policy.read().usable).toBe(false);
    await chmod(file, 0o600);
    expect(policy.read().usable).toBe(true);
    await rm(file);
    expect(policy.read().usable).toBe(false);
  });

  it.each([
    ['its group may write it', 0o664],
    ['everybody may write it', 0o602],
  ])('does not count when %s', async (_what, mode) => {
    await chmod(file, mode);
    expect(whyNot(read())).toContain('others may write it');
  });

  it.each([
    ['its group may write its folder', 0o770],
    ['everybody may write its folder', 0o707],
  ])('does not count when %s', async (_what, mode) => {
    await chmod(folder, mode);
    expect(whyNot(read())).toContain('others may write its folder');
    await chmod(folder, 0o700);
  });

  it('counts in a folder like /tmp, where nobody can replace it', async () => {
    await chmod(folder, 0o1777);
    expect(read().usable).toBe(true);
  });

  it('does not count when somebody else owns it', () => {
    expect(whyNot(read(file, owner + 1))).toMatch(/owned by user/);
  });

  it.runIf(owner === 0)('does not count when another user owns it or its folder', async () => {
    await chown(file, 12345, 0);
    expect(whyNot(read())).toContain('owned by user 12345, not 0');
    await chown(file, 0, 0);
    await chown(folder, 12345, 0);
    expect(whyNot(read())).toContain('its folder is owned by user 12345, not 0');
  });

  it('does not count through a symlink', async () => {
    const name = path.join(folder, 'link.toml');
    await symlink(file, name);
    expect(whyNot(read(name))).toContain('ELOOP');
  });

  it('counts under a second name', async () => {
    const name = path.join(folder, 'second.toml');
    await link(file, name);
    expect(read(name).usable).toBe(true);
  });

  it('is a regular file, and nobody waits for a pipe', async () => {
    const pipe = path.join(folder, 'pipe.toml');
    execFileSync('mkfifo', ['-m', '600', pipe]);
    expect(whyNot(read(pipe))).toContain('not a regular file');
    const directory = path.join(folder, 'folder.toml');
    await mkdir(directory, { mode: 0o700 });
    expect(whyNot(read(directory))).toContain('not a regular file');
  });

  it.each<[string, string | Uint8Array, RegExp]>([
    ['no TOML', 'version = ', /policy\.toml: /],
    ['a comment that is no UTF-8', Buffer.from('version = 1\n# \xff\n', 'latin1'), /not valid/],
    ['no UTF-8', Uint8Array.from([0xff, 0xfe]), /policy\.toml: /],
    ['another version', 'version = 2\n', /version/],
    ['a word it does not know', 'version = 1\nalow = ["*"]\n', /alow/],
    ['a key twice', 'version = 1\nallow = []\nallow = ["*"]\n', /policy\.toml: /],
    ['a pattern that is none', 'version = 1\nallow = ["file*"]\n', /allow/],
    ['a fraction of an engineer', 'version = 1\nengineers-for-class-c = 1.5\n', /engineers/],
    ['nothing', '', /version/],
    ['too much', `version = 1\n#${'a'.repeat(POLICY_MAX_BYTES)}`, /larger than/],
  ])('does not count with %s in it', async (_what, content, why) => {
    await writeFile(file, content);
    expect(whyNot(read())).toMatch(why);
  });

  it('that is not there does not count', () => {
    expect(whyNot(read(path.join(folder, 'none.toml')))).toContain('ENOENT');
    expect(whyNot(read(path.join(folder, 'none', 'policy.toml')))).toContain('ENOENT');
  });
});
