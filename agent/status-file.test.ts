import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAgentAlive, readStartTicks, readStatus, writeStatus } from './status-file.ts';
import type { AgentStatus } from './status-file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'iv-sf-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const status = (changes: Partial<AgentStatus> = {}): AgentStatus => ({
  version: '0',
  pid: process.pid,
  startTicks: readStartTicks(process.pid),
  agentId: 'a',
  serverId: 's',
  accountId: 'c',
  mode: 'resident',
  agentKey: 'SHA256:x',
  connection: 'connected',
  address: 'cp:1',
  connectionSince: 1,
  heardAt: null,
  certificateEnds: 2,
  locked: false,
  jobs: [],
  updatedAt: 3,
  ...changes,
});

describe('the status file', () => {
  it('is read back as it was written', () => {
    writeStatus(folder, status());
    expect(readStatus(folder)).toEqual(status());
  });

  it('is nothing when it is missing or not whole', () => {
    expect(readStatus(folder)).toBeNull();
    writeFileSync(path.join(folder, 'status.json'), '{"version":');
    expect(readStatus(folder)).toBeNull();
  });

  it('cannot fail an agent whose disk is full or whose folder is gone', () => {
    expect(() => writeStatus(path.join(folder, 'none'), status())).not.toThrow();
  });

  it('knows a living agent from a process that only has its number', async () => {
    expect(isAgentAlive(status())).toBe(true);
    expect(isAgentAlive(status({ connection: 'stopped' }))).toBe(false);
    expect(isAgentAlive(status({ startTicks: '1' }))).toBe(false);
    const child = spawn('sleep', ['60']);
    const ticks = readStartTicks(child.pid!);
    expect(isAgentAlive(status({ pid: child.pid!, startTicks: ticks }))).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isAgentAlive(status({ pid: child.pid!, startTicks: ticks }))).toBe(false);
  });
});
