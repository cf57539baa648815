import { shell } from '../../proto/documents/command-text.ts';
import { actorOf, scopeOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Database } from '../database/database.ts';
import { pickReferenced } from '../database/reference.ts';
import { DomainError } from '../domain-error.ts';
import type { ServersService } from '../servers/servers-service.ts';
import {
  closeIntervention,
  findIntervention,
  interventionCandidates,
  listInterventions,
} from './intervention-store.ts';
import type { Intervention } from './intervention-store.ts';
import { joinIntervention } from './join-intervention.ts';
import { readPack } from './pack.ts';
import type { Pack } from './pack.ts';

export interface InterventionQuery {
  server?: string | undefined;
  state?: 'open' | 'closed' | undefined;
}

/** The cases: what a client asked for on a ticket, and all that was done about it on one server. */
export interface InterventionsService {
  /** Throws `intervention_open` when the server has an open one for the ticket. */
  open(
    caller: Caller,
    request: { server: string; ticket: string; description: string },
  ): Promise<Intervention>;
  list(
    caller: Caller,
    query: InterventionQuery,
    page: { before: number | null; limit: number },
  ): Promise<Intervention[]>;
  /** By number, id or end of the id. */
  resolve(caller: Caller, reference: string): Promise<Intervention>;
  /** Throws `jobs_not_ended`. Closing what is closed changes nothing. */
  close(caller: Caller, reference: string): Promise<Intervention>;
  /** Everything needed to check it offline. */
  pack(caller: Caller, reference: string): Promise<Pack>;
}

export function createInterventionsService(
  database: Database,
  servers: Pick<ServersService, 'resolve'>,
): InterventionsService {
  async function resolve(caller: Caller, reference: string): Promise<Intervention> {
    const found = await interventionCandidates(database, scopeOf(caller), reference);
    const numbered = found.find((row) => String(row.number) === reference);
    return numbered ?? pickReferenced(found, reference, 'intervention');
  }

  return {
    resolve,

    open: async (caller, { server: reference, ticket, description }) => {
      const server = await servers.resolve(caller, reference);
      const { intervention, opened } = await database.transaction((queries) =>
        joinIntervention(queries, {
          accountId: server.accountId,
          serverId: server.id,
          ticket,
          description,
          actor: actorOf(caller),
          openedBy: caller.personId,
        }),
      );
      if (opened) return intervention;
      throw new DomainError(
        'conflict',
        'intervention_open',
        `${server.name} has an open intervention for ${ticket}: ${intervention.number}.`,
        {
          next: [
            {
              label: 'See it',
              command: shell`intervene interventions show ${intervention.number}`,
            },
          ],
        },
      );
    },

    list: async (caller, query, page) => {
      const server =
        query.server === undefined ? null : await servers.resolve(caller, query.server);
      const filter = { serverId: server?.id ?? null, state: query.state ?? null };
      return listInterventions(database, scopeOf(caller), filter, page.before, page.limit);
    },

    close: async (caller, reference) => {
      const { id, number, accountId } = await resolve(caller, reference);
      return database.transaction(async (queries) => {
        const { closed, openJobs } = await closeIntervention(queries, id);
        if (openJobs > 0) {
          throw new DomainError(
            'conflict',
            'jobs_not_ended',
            `${openJobs} of its jobs have not ended.`,
            {
              next: [
                { label: 'See them', command: shell`intervene jobs list --intervention ${number}` },
              ],
            },
          );
        }
        if (closed) {
          await appendAudit(queries, {
            chain: `intervention:${id}`,
            actor: actorOf(caller),
            kind: 'intervention.closed',
            accountId,
            content: { intervention: id },
          });
        }
        return (await findIntervention(queries, id))!;
      });
    },

    pack: async (caller, reference) => readPack(database, await resolve(caller, reference)),
  };
}
