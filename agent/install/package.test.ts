import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageAgent } from '../../scripts/package-agent.ts';
import { formatPolicy, LOOK_ONLY } from './policy-text.ts';

const root = path.resolve(import.meta.dirname, '../..');
const debian = path.join(import.meta.dirname, 'debian');

function run(program: string, ...args: string[]) {
  return spawnSync(program, args, { encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 });
}

describe('the Debian package of the agent', () => {
  let folder: string;
  let file: string;
  const options = { version: '1.2.3', compression: 'none', epoch: 1_700_000_000 };
  const digest = (name: string) => createHash('sha256').update(readFileSync(name)).digest('hex');

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'iv-pk-'));
    expect(run(process.execPath, path.join(root, 'scripts/build.ts')).stderr).toBe('');
    file = packageAgent({ ...options, out: folder });
  }, 400_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('has the same bytes whenever it is built, and no time but the one of its sources', () => {
    const again = packageAgent({ ...options, out: path.join(folder, 'again') });
    expect(digest(again)).toBe(digest(file));
    const listed = run('dpkg-deb', '--contents', file).stdout.trim().split('\n');
    expect(new Set(listed.map((line) => line.split(/\s+/).slice(3, 5).join(' ')))).toEqual(
      new Set(['2023-11-14 22:13']),
    );
  }, 120_000);

  it('belongs to root, with nothing that others may write or that has special rights', () => {
    const listed = run('dpkg-deb', '--contents', file).stdout.trim().split('\n');
    expect(listed.length).toBeGreaterThan(20);
    for (const line of listed) {
      expect(line).toMatch(/^(?:drwxr-xr-x|-rwxr-xr-x|-rw-r--r--|lrwxrwxrwx) root\/root /);
    }
  });

  it('needs the sandbox and the tools of file systems, and no newer glibc than 2.28', () => {
    const depends = run('dpkg-deb', '--field', file, 'Depends').stdout;
    expect(depends).toMatch(/\bbubblewrap\b/);
    expect(depends).toMatch(/\be2fsprogs\b/);
    expect(depends).toContain('libc6 (>= 2.28)');
    expect(run('dpkg-deb', '--field', file, 'Version').stdout.trim()).toBe('1.2.3');
  });

  it('ships the policy that only looks, as a file that is the owner’s', () => {
    expect(readFileSync(path.join(debian, 'policy.toml'), 'utf8')).toBe(formatPolicy(LOOK_ONLY));
    const { stdout } = run('dpkg-deb', '--info', file, 'conffiles');
    expect(stdout).toBe('/etc/intervene/policy.toml\n');
  });

  it('completes every command and option of the program', () => {
    const complete = (...words: string[]) => {
      const script = [
        `. ${path.join(debian, 'completion.bash')}`,
        `COMP_WORDS=(intervene-agent ${words.map((word) => `'${word}'`).join(' ')} '')`,
        `COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))`,
        '_intervene_agent',
        'printf "%s\\n" "${COMPREPLY[@]}"',
      ].join('\n');
      return run('bash', '-c', script).stdout.trim().split('\n').toSorted();
    };
    const help = (...words: string[]) =>
      run(process.execPath, path.join(root, 'agent/main.ts'), ...words, '--help').stdout;
    const section = (text: string, title: string) =>
      new RegExp(`^${title}:\\n((?: .*\\n?)+)`, 'm').exec(text)?.[1] ?? '';
    const namesOf = (text: string) => {
      const options = [...text.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, name]) => name!);
      const commands = [...section(text, 'Commands').matchAll(/^ {2}([a-z][a-z-]*)/gm)];
      return [...options, ...commands.map(([, name]) => name!)]
        .filter((name) => !['--help', '--version', 'help'].includes(name))
        .toSorted();
    };
    const paths = [[], ['enroll'], ['run'], ['status'], ['lock'], ['unlock'], ['trust']];
    const deeper = [['jobs'], ['jobs', 'prune'], ['trust', 'accept-time'], ['policy']];
    for (const words of [...paths, ...deeper, ['policy', 'check']]) {
      const expected = new Set(namesOf(help(...words)));
      const found = new Set(complete(...words));
      found.delete('--help');
      found.delete('--version');
      expect([words, found]).toEqual([words, expected]);
    }
    expect(complete('enroll', '--mode')).toEqual(['rescue', 'resident']);
  }, 120_000);

  it.each([
    ['a lock that was there', true, false],
    ['a lock that is made meanwhile', false, true],
    ['no lock', false, false],
  ])('leaves %s as it is when it is removed', (_what, before, meanwhile) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'iv-prerm-'));
    const state = path.join(folder, 'state');
    const locked = path.join(state, 'locked');
    mkdirSync(state);
    if (before) writeFileSync(locked, '');
    const program = path.join(folder, 'intervene-agent');
    const call = `'${process.execPath}' '${path.join(root, 'agent/main.ts')}'`;
    writeFileSync(
      program,
      `#!/bin/sh\n${meanwhile ? `: > '${locked}'\n` : ''}exec ${call} "$@" --state '${state}'\n`,
      { mode: 0o755 },
    );
    const script = readFileSync(path.join(debian, 'prerm'), 'utf8')
      .replaceAll('/usr/bin/intervene-agent', program)
      .replaceAll('/var/lib/intervene', state)
      .replaceAll('/run/systemd/system', path.join(folder, 'none'));
    const { status, stderr } = run('dash', '-c', script, 'prerm', 'remove');
    expect([status, stderr]).toEqual([0, expect.stringContaining('Nothing was running')]);
    expect(readdirSync(state)).toEqual(before || meanwhile ? ['locked'] : []);
    rmSync(folder, { recursive: true });
  });

  it('has scripts that the shell of Debian reads', () => {
    const own = ['switch-version', 'remove-unused-versions'];
    for (const name of ['preinst', 'postinst', 'prerm', 'postrm', ...own]) {
      expect([name, run('dash', '-n', path.join(debian, name)).stderr]).toEqual([name, '']);
    }
  });
});
