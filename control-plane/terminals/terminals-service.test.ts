import { describe, expect, it } from 'vitest';
import { pino } from 'pino';
import type { Caller } from '../accounts/caller.ts';
import type { ConnectResponse } from '../../proto/wire.ts';
import type { Queries } from '../database/database.ts';
import type { Job } from '../jobs/job-store.ts';
import type { FramePipe } from './frame-pipe.ts';
import { TerminalsService } from './terminals-service.ts';

const erin: Caller = { personId: 'erin', name: 'erin', role: 'engineer', accountId: null };
const terminal = {
  id: 'job',
  agentId: 'agent',
  action: 'terminal.open',
  mode: 'apply',
  state: 'running',
  serverName: 'web-04',
} as Job;
const pipe = {} as FramePipe;

/** The service with a job as it is in the database, and an agent that hears what it is asked. */
function serve(job: Partial<Job> = {}, options: { away?: true; orderer?: string } = {}) {
  const asked: ConnectResponse[] = [];
  const rows = [{ orderedBy: options.orderer ?? 'erin' }];
  const service = new TerminalsService({
    jobs: { resolve: async () => ({ ...terminal, ...job }) },
    queries: { query: async () => rows } as unknown as Queries,
    findSession: () => (options.away ? undefined : { send: (message) => void asked.push(message) }),
    log: pino({ enabled: false }),
    arriveMs: 100,
  });
  return { service, asked };
}

describe('attaching to a terminal', () => {
  it('asks the agent, and takes the stream that names the attachment', async () => {
    const { service, asked } = serve();
    const attaching = service.attach(erin, '1042/3');
    await expect.poll(() => asked.length).toBe(1);
    const { jobId, attachment } = asked[0]!.openTerminal!;
    expect(jobId).toBe('job');
    expect(service.arrive('another', 'job', attachment!, pipe)).toBe(false);
    expect(service.arrive('agent', 'another', attachment!, pipe)).toBe(false);
    expect(service.arrive('agent', 'job', 'made up', pipe)).toBe(false);
    expect(service.arrive('agent', 'job', attachment!, pipe)).toBe(true);
    await expect(attaching).resolves.toBeTypeOf('function');
    expect(service.arrive('agent', 'job', attachment!, pipe)).toBe(false);
  });

  it.each([
    ['of another engineer', {}, { orderer: 'eve' }, 'not_your_terminal'],
    ['that is no terminal', { action: 'command.run' }, {}, 'no_terminal'],
    ['that is over', { state: 'cancelled' as const }, {}, 'terminal_ended'],
    ['whose agent is away', {}, { away: true as const }, 'agent_away'],
    ['whose agent does not open its side', {}, {}, 'agent_away'],
  ])('to a job %s is refused', async (_what, job, options, code) => {
    const { service } = serve(job, options);
    await expect(service.attach(erin, '1042/3')).rejects.toMatchObject({ code });
  });
});
