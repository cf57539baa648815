import { shell } from '../../proto/documents/command-text.ts';
import { actorOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { agentsOfServers } from '../agents/agent-list.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { storeIdentity } from './server-store.ts';
import type { ConfirmedIdentity, Server } from './server-store.ts';

export type IdentifyServer = ReturnType<typeof createIdentifyServer>;

/**
 * Keeps what an engineer confirmed the machine to be that answers as this server in rescue. It must be what its
 * agent says of itself now: the rescue environment boots on whatever asked for it.
 */
export function createIdentifyServer(database: Database) {
  return async (caller: Caller, server: Server, identity: ConfirmedIdentity): Promise<void> => {
    const agent = (await agentsOfServers(database, [server.id])).get(server.id);
    if (agent?.mode !== 'rescue') {
      throw new DomainError(
        'conflict',
        'agent_not_in_rescue',
        agent === undefined
          ? `${server.name} has no agent to compare with.`
          : `${server.name} is opted in; what it is was settled when its owner installed the agent.`,
        {
          next: [
            { label: 'Boot it', command: shell`intervene enroll ${server.name} --mode rescue` },
          ],
        },
      );
    }
    if (identity.serial === null && identity.macAddresses.length === 0) {
      throw new DomainError(
        'invalid',
        'identity_empty',
        'A serial number or a network address (MAC) is needed: host names are anybody’s.',
      );
    }
    const { facts } = agent;
    const present = new Set(facts.macAddresses.map((address) => address.toLowerCase()));
    const differs = [
      identity.serial !== null && identity.serial !== facts.serial && 'serial number',
      identity.macAddresses.some((address) => !present.has(address.toLowerCase())) &&
        'network address (MAC)',
      identity.hostname !== facts.hostname && 'host name',
    ].find((what) => what !== false);
    if (differs !== undefined) {
      throw new DomainError(
        'conflict',
        'identity_mismatch',
        `The machine that answers as ${server.name} has another ${differs} than you expect.`,
        {
          next: [
            { label: 'See what it says', command: shell`intervene servers show ${server.name}` },
          ],
        },
      );
    }
    await database.transaction(async (queries) => {
      await storeIdentity(queries, server.id, identity, caller.personId);
      await appendAudit(queries, {
        chain: `account:${server.accountId}`,
        actor: actorOf(caller),
        kind: 'server.identified',
        accountId: server.accountId,
        content: { server: server.id, agent: agent.id, ...identity },
      });
    });
  };
}
