import { existsSync } from 'node:fs';
import { locate } from '../config.ts';
import type { AgentOptions } from '../config.ts';
import { readAgentIds } from '../connection/identity.ts';
import { isAgentAlive, readStatus } from '../status-file.ts';
import type { AgentStatus } from '../status-file.ts';
import { isLocked } from '../trust/lock.ts';
import { printJson, printLines } from './printing.ts';

const SENTENCES = {
  connected: 'connected to',
  connecting: 'connecting to',
  waiting: 'not connected; will try again:',
  stopped: 'stopped; last address:',
} as const;

/** 0 when an agent runs, 5 when none does. */
export async function statusCommand(options: AgentOptions & { json?: boolean }): Promise<number> {
  const { stateDirectory } = locate(options);
  const status = readStatus(stateDirectory);
  const running = status !== null && isAgentAlive(status);
  const enrolled = (await readAgentIds(stateDirectory)) !== null;
  const locked = enrolled && isLocked(stateDirectory);
  if (options.json === true) {
    printJson({ running, enrolled, ...status, locked });
    return running ? 0 : 5;
  }
  printLines(describe({ running, enrolled, locked, status }));
  return running ? 0 : 5;
}

interface Found {
  running: boolean;
  enrolled: boolean;
  locked: boolean;
  status: AgentStatus | null;
}

function describe({ running, enrolled, locked, status }: Found): string[] {
  const lines: string[] = [];
  if (status !== null && running) {
    const since = new Date(status.connectionSince).toISOString();
    const mark = status.connection === 'connected' ? '✓' : '!';
    lines.push(`${mark} ${SENTENCES[status.connection]} ${status.address}   since ${since}`);
    lines.push(
      `  Agent        ${status.agentId}   ${status.version}, ${status.mode}, process ${status.pid}`,
    );
    lines.push(`  Key          ${status.agentKey}`);
    lines.push(`  Server       ${status.serverId}`);
    lines.push(`  Certificate  until ${new Date(status.certificateEnds).toISOString()}`);
    for (const job of status.jobs) {
      const state = job.outcome ?? job.state;
      lines.push(`  Job          ${job.id}   ${job.action} ${job.mode}   ${state}`);
    }
    if (status.jobs.length === 0) lines.push('  Job          none');
  } else {
    lines.push(enrolled ? '✗ no agent runs here' : '✗ this machine is not enrolled');
  }
  if (locked) lines.push('! locked: no job starts');
  const next = locked
    ? 'intervene-agent unlock   (lets jobs start again)'
    : running
      ? 'intervene-agent lock   (stops every job at once)'
      : enrolled
        ? existsSync('/run/systemd/system')
          ? 'systemctl start intervene-agent'
          : 'intervene-agent run   (there is no systemd here)'
        : 'intervene-agent enroll --help';
  return [...lines, `Next: ${next}`];
}
