import type { AgentBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { agentStateTexts } from '../output/job-states.ts';
import { printTable } from '../output/table.ts';
import { ageOf } from './servers.ts';
import { styled } from '../output/terminal.ts';

export async function listAgents(context: CommandContext): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const items = await api.list<AgentBody>('/api/v1/agents');
  if (terminal.json) {
    terminal.printJson({ items, next: null });
    return;
  }
  const now = context.surroundings.now();
  printTable(
    terminal,
    [
      { title: 'SERVER', cell: (agent) => agent.serverName },
      {
        title: 'STATE',
        cell: (agent) => {
          const { word, glyph: sign, style } = agentStateTexts[agent.state];
          return styled(style, `${sign} ${word}${agent.locked ? ', locked' : ''}`);
        },
        plain: (agent) => agent.state,
      },
      { title: 'MODE', cell: (agent) => agent.mode },
      { title: 'VERSION', cell: (agent) => agent.version },
      {
        title: 'SEEN',
        cell: (agent) => ageOf(agent.lastSeenAt, now),
        plain: (agent) => agent.lastSeenAt ?? '-',
      },
      { title: 'KEY', cell: (agent) => agent.keyFingerprint },
    ],
    items,
  );
  if (items.length === 0) {
    terminal.sayNext('intervene enroll SERVER --mode resident', { after: 'No agent yet.' });
  }
}
