import { shell } from '../../../proto/documents/command-text.ts';
import { writeFileSync } from 'node:fs';
import { reference } from '../api/api-client.ts';
import type { InterventionBody, JobBody, PackBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { writingNamedFile } from '../named-file.ts';
import { requireTicket } from '../orders/ticket.ts';
import { printFacts, printTable } from '../output/table.ts';
import { glyph } from '../output/terminal.ts';
import { formatAge, formatCount } from '../output/time-text.ts';
import { printJobs } from './print-jobs.ts';
import { findServer } from './servers.ts';

export async function openIntervention(
  context: CommandContext,
  _args: string[],
  options: { server: string; ticket: string; describe?: string },
): Promise<void> {
  const { terminal } = context;
  const ticket = requireTicket(options.ticket);
  const api = await context.api();
  const server = await findServer(api, options.server);
  const intervention = await api.post<InterventionBody>('/api/v1/interventions', {
    server: server.id,
    ticket,
    description: options.describe ?? '',
  });
  if (terminal.json) {
    terminal.printJson(intervention);
    return;
  }
  terminal.printName(String(intervention.number));
  terminal.say(glyph('ok', '✓'), `intervention ${intervention.number} on ${server.name}`);
  terminal.sayNext(shell`intervene run ${server.name} ACTION --ticket ${intervention.ticket}`);
}

export async function listInterventions(
  context: CommandContext,
  _args: string[],
  options: { all?: boolean },
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const all = await api.list<InterventionBody>('/api/v1/interventions');
  const items = options.all ? all : all.filter((item) => item.closedAt === null);
  if (terminal.json) {
    terminal.printJson({ items, next: null });
    return;
  }
  const now = context.surroundings.now();
  printTable(
    terminal,
    [
      { title: '#', cell: (item) => String(item.number), keep: true },
      { title: 'SERVER', cell: (item) => item.serverName },
      { title: 'TICKET', cell: (item) => item.ticket },
      { title: 'STATE', cell: (item) => (item.closedAt === null ? 'open' : 'closed') },
      { title: 'JOBS', cell: (item) => String(item.jobs) },
      {
        title: 'AGE',
        cell: (item) => formatAge(now - Date.parse(item.openedAt)),
        plain: (item) => item.openedAt,
      },
      { title: 'DESCRIPTION', cell: (item) => item.description },
    ],
    items,
  );
  if (!options.all && all.length > items.length) {
    terminal.say(`${items.length} open of ${all.length} · more: --all`);
  }
}

export async function showIntervention(
  context: CommandContext,
  [named = '']: string[],
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const intervention = await api.get<InterventionBody>(`/api/v1/interventions/${reference(named)}`);
  if (terminal.json) {
    terminal.printJson(intervention);
    return;
  }
  const jobs = await api.list<JobBody>('/api/v1/jobs', { intervention: intervention.id });
  printFacts(terminal, [
    ['intervention', String(intervention.number)],
    ['server', intervention.serverName],
    ['ticket', intervention.ticket],
    ['description', intervention.description || '-'],
    ['opened', intervention.openedAt],
    ['closed', intervention.closedAt ?? '-'],
  ]);
  if (jobs.length > 0) printJobs(context, jobs);
}

export async function closeIntervention(
  context: CommandContext,
  [named = '']: string[],
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const intervention = await api.post<InterventionBody>(
    `/api/v1/interventions/${reference(named)}/close`,
    {},
  );
  if (terminal.json) {
    terminal.printJson(intervention);
    return;
  }
  terminal.say(glyph('ok', '✓'), `intervention ${intervention.number} is closed`);
  terminal.sayNext(shell`intervene interventions pack ${intervention.number} --output FILE`);
}

/** `interventions pack`: everything that `verify` needs, as a file or on stdout. */
export async function packIntervention(
  context: CommandContext,
  [named = '']: string[],
  options: { output?: string },
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const pack = await api.get<PackBody>(`/api/v1/interventions/${reference(named)}/pack`);
  if (options.output === undefined || options.output === '-') {
    terminal.printJson(pack);
    return;
  }
  const file = options.output;
  writingNamedFile(file, () => writeFileSync(file, `${JSON.stringify(pack)}\n`, { mode: 0o600 }));
  if (terminal.json) terminal.printJson({ file, jobs: pack.jobs.length });
  else {
    terminal.say(glyph('ok', '✓'), `${formatCount(pack.jobs.length, 'job')} in ${file}`);
    terminal.sayNext(shell`intervene verify ${file}`);
  }
}
