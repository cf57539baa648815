import type { Queries } from '../database/database.ts';
import { wireLimits } from '../../proto/wire.ts';
import type { AgentMode } from './agent-store.ts';
import type { AgentFacts } from './facts.ts';

/**
 * - `connected`: has a session
 * - `disconnected`: had one a moment ago
 * - `unreachable`: silent for 45 s or longer
 * - `quarantined`: two programs used its identity; neither is accepted
 */
export type AgentState = 'connected' | 'disconnected' | 'unreachable' | 'quarantined';

/** An agent as people see it. */
export interface Agent {
  id: string;
  serverId: string;
  serverName: string;
  mode: AgentMode;
  keyFingerprint: string;
  ageRecipient: string;
  version: string;
  state: AgentState;
  locked: boolean;
  lastSeenAt: Date | null;
  facts: AgentFacts;
  actions: { id: string; version: number }[];
  documentTypes: string[];
}

const AGENT = `a.id, a.server_id as "serverId", s.name as "serverName", a.mode,
  a.key_fingerprint as "keyFingerprint", a.age_recipient as "ageRecipient", a.version, a.locked,
  a.last_seen_at as "lastSeenAt", a.facts, a.actions, a.document_types as "documentTypes",
  case
    when a.quarantined_at is not null then 'quarantined'
    when coalesce(a.last_seen_at, a.created_at) < now() - interval '${wireLimits.unreachableMs} ms' then 'unreachable'
    when a.connected_at is not null then 'connected'
    else 'disconnected'
  end as state`;

/** Current agents by server name. `after` is the name and the id of the last one of the page before. */
export function listAgents(
  queries: Queries,
  scope: string | null,
  after: { name: string; id: string } | null,
  limit: number,
): Promise<Agent[]> {
  return queries.query<Agent>(
    `select ${AGENT} from agents a join servers s on s.id = a.server_id
     where a.replaced_at is null and ($1::uuid is null or a.account_id = $1)
       and ($2::text is null or (s.name, a.id) > ($2, $3::uuid))
     order by s.name, a.id limit $4`,
    [scope, after?.name ?? null, after?.id ?? null, limit],
  );
}

/** The current agent of each of these servers, where there is one. */
export async function agentsOfServers(
  queries: Queries,
  serverIds: readonly string[],
): Promise<ReadonlyMap<string, Agent>> {
  if (serverIds.length === 0) return new Map();
  const rows = await queries.query<Agent>(
    `select ${AGENT} from agents a join servers s on s.id = a.server_id
     where a.replaced_at is null and a.server_id = any($1)`,
    [serverIds],
  );
  return new Map(rows.map((agent) => [agent.serverId, agent]));
}
