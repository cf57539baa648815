import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { policyText } from './service-hold.ts';

let folder: string;
let policy: string;
let lock: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'iv-hold-'));
  policy = join(folder, 'policy-rc.d');
  lock = join(folder, 'holding');
  writeFileSync(lock, '');
  const text = policyText(['nginx.service', 'php@7'], lock);
  // The same text, about another place than the machine's own.
  writeFileSync(policy, text.replaceAll('/usr/sbin', folder), { mode: 0o755 });
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The exit status for `service`; with the lock held as long as it is asked. */
function ask(service: string, isHeld: boolean): number {
  const argv = [policy, service, 'restart'];
  const held = isHeld ? ['flock', '--exclusive', '--close', lock, ...argv] : argv;
  try {
    execFileSync(held[0]!, held.slice(1));
    return 0;
  } catch (error) {
    return (error as { status: number }).status;
  }
}

describe('the policy that holds services back', () => {
  it('forbids the services it was given, under each of their names, and no others', () => {
    expect(ask('nginx', true)).toBe(101);
    expect(ask('nginx.service', true)).toBe(101);
    expect(ask('php@7.service', true)).toBe(101);
    expect(ask('nginx2', true)).toBe(104);
    expect(existsSync(policy)).toBe(true);
  });

  it('asks the one that was there before about everything else', () => {
    writeFileSync(`${policy}.before-intervene`, '#!/bin/sh\nexit 55\n', { mode: 0o755 });
    expect(ask('nginx', true)).toBe(101);
    expect(ask('ssh', true)).toBe(55);
  });

  it('is gone once nobody holds its lock', () => {
    expect(ask('nginx', false)).toBe(104);
    expect(existsSync(policy)).toBe(false);
  });

  it('gives way to the one that was there before', () => {
    const before = '#!/bin/sh\nexit 55\n';
    writeFileSync(`${policy}.before-intervene`, before, { mode: 0o755 });
    expect(ask('nginx', false)).toBe(55);
    expect(readFileSync(policy, 'utf8')).toBe(before);
  });

  it('is gone when the command that held it was killed', async () => {
    const argv = ['--exclusive', '--close', lock, 'sh', '-c', 'echo held; sleep 60'];
    const child = spawn('flock', argv, { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    expect(ask('nginx', false)).toBe(101);
    process.kill(-child.pid!, 'SIGKILL');
    await once(child, 'exit');
    expect(ask('nginx', false)).toBe(104);
    expect(existsSync(policy)).toBe(false);
  });
});
