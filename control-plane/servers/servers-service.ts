import { randomUUID } from 'node:crypto';
import type { AccountsService } from '../accounts/accounts-service.ts';
import { actorOf, scopeOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Database } from '../database/database.ts';
import { pickReferenced } from '../database/reference.ts';
import { DomainError } from '../domain-error.ts';
import { createIdentifyServer } from './identify-server.ts';
import { findServer, insertServer, listServers, serverCandidates } from './server-store.ts';
import type { ConfirmedIdentity, Server } from './server-store.ts';

export interface NewServerRequest {
  name: string;
  /** People of the provider must name it; clients have only their own. */
  account?: string | undefined;
  serviceId: string | null;
  addresses: string[];
}

/** The machines there are to repair. */
export interface ServersService {
  create(caller: Caller, server: NewServerRequest): Promise<Server>;
  list(
    caller: Caller,
    page: { after: { name: string; id: string } | null; limit: number },
  ): Promise<Server[]>;
  /** By id, name, `ACCOUNT/NAME` or end of the id. Throws `server_not_found`, `server_ambiguous`. */
  resolve(caller: Caller, reference: string): Promise<Server>;
  /** Keeps which machine the server is, as an engineer confirmed it. */
  identify(caller: Caller, reference: string, identity: ConfirmedIdentity): Promise<Server>;
}

export function createServersService(
  database: Database,
  accounts: Pick<AccountsService, 'resolveAccount'>,
): ServersService {
  const identify = createIdentifyServer(database);

  async function resolve(caller: Caller, reference: string): Promise<Server> {
    const found = await serverCandidates(database, scopeOf(caller), reference);
    const byPath = found.find((row) => `${row.accountName}/${row.name}` === reference);
    return byPath ?? pickReferenced(found, reference, 'server');
  }

  return {
    create: async (caller, wanted) => {
      const reference = wanted.account ?? caller.accountId;
      if (reference === null) {
        throw new DomainError('invalid', 'account_missing', 'A server belongs to an account.', {
          next: [{ label: 'See the accounts', command: 'intervene accounts list' }],
        });
      }
      const account = await accounts.resolveAccount(caller, reference);
      const { name, serviceId, addresses } = wanted;
      const id = randomUUID();
      return database.transaction(async (queries) => {
        if (
          !(await insertServer(queries, { id, accountId: account.id, name, serviceId, addresses }))
        ) {
          throw new DomainError(
            'conflict',
            'server_name_taken',
            `${account.name} has a server "${name}" already.`,
          );
        }
        await appendAudit(queries, {
          chain: `account:${account.id}`,
          actor: actorOf(caller),
          kind: 'server.created',
          accountId: account.id,
          content: { server: id, name, serviceId, addresses },
        });
        return (await findServer(queries, id))!;
      });
    },

    list: (caller, page) => listServers(database, scopeOf(caller), page.after, page.limit),

    resolve,

    identify: async (caller, reference, identity) => {
      const server = await resolve(caller, reference);
      await identify(caller, server, identity);
      return (await findServer(database, server.id))!;
    },
  };
}
