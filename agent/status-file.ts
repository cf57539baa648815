import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';

const time = z.int().nullable();

const statusSchema = z.object({
  version: z.string(),
  pid: z.int(),
  /** Start time of the process in clock ticks since boot (proc_pid_stat(5), field 22). */
  startTicks: z.string(),
  agentId: z.string(),
  serverId: z.string(),
  accountId: z.string(),
  mode: z.enum(['rescue', 'resident']),
  agentKey: z.string(),
  connection: z.enum(['stopped', 'connecting', 'connected', 'waiting']),
  address: z.string(),
  /** Milliseconds since 1970, like all times here. */
  connectionSince: z.int(),
  heardAt: time,
  certificateEnds: z.int(),
  locked: z.boolean(),
  jobs: z.array(
    z.object({
      id: z.string(),
      action: z.string(),
      mode: z.string(),
      state: z.enum(['running', 'ended']),
      outcome: z.string().nullable(),
    }),
  ),
  updatedAt: z.int(),
});

/** How the agent is doing, as it last wrote it down. */
export type AgentStatus = z.output<typeof statusSchema>;

function statusFile(stateDirectory: string): string {
  return path.join(stateDirectory, 'status.json');
}

/** Never fails an agent whose disk is full: its status is only informative. */
export function writeStatus(stateDirectory: string, status: AgentStatus): void {
  const file = statusFile(stateDirectory);
  try {
    writeFileSync(`${file}.new`, `${JSON.stringify(status, null, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  } catch {
    // What is there stays.
  }
}

/** Null when there is none, or none that this version can read. */
export function readStatus(stateDirectory: string): AgentStatus | null {
  try {
    return statusSchema.parse(JSON.parse(readFileSync(statusFile(stateDirectory), 'utf8')));
  } catch {
    return null;
  }
}

/** Whether the process that wrote the status is still that process and alive. */
export function isAgentAlive(status: AgentStatus): boolean {
  const { connection, pid, startTicks } = status;
  return connection !== 'stopped' && startTicks !== '' && readStartTicks(pid) === startTicks;
}

/** Empty for a process that is not there. */
export function readStartTicks(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name of the program, in parentheses, may hold anything; fields are counted after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
