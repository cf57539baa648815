import type { Ed25519Key } from '../../proto/documents/keys.ts';
import type { Queries } from '../database/database.ts';
import type { AgentFacts } from './facts.ts';

export type AgentMode = 'rescue' | 'resident';

/** What a certificate leads to. */
export interface AgentIdentity {
  agentId: string;
  serverId: string;
  accountId: string;
  mode: AgentMode;
  key: Ed25519Key;
  keyFingerprint: string;
  serial: string;
  previousSerial: string | null;
  certificateExpiresAt: Date;
  /** Whether it was seen with the newest certificate. */
  certificateUsed: boolean;
  quarantined: boolean;
  replaced: boolean;
  revoked: boolean;
}

const IDENTITY = `a.id as "agentId", a.server_id as "serverId", a.account_id as "accountId", a.mode, a.key,
  a.key_fingerprint as "keyFingerprint", a.certificate_serial as serial,
  a.previous_serial as "previousSerial", a.certificate_expires_at as "certificateExpiresAt",
  a.certificate_used as "certificateUsed",
  a.quarantined_at is not null as quarantined, a.replaced_at is not null as replaced,
  exists (select from revocations r where r.kind = 'key' and r.subject = a.key_fingerprint) as revoked`;

export async function findAgentIdentity(
  queries: Queries,
  agentId: string,
): Promise<AgentIdentity | null> {
  const rows = await queries.query<AgentIdentity>(
    `select ${IDENTITY} from agents a where a.id = $1`,
    [agentId],
  );
  return rows[0] ?? null;
}

export interface CertifiedAgent extends AgentIdentity {
  createdAt: Date;
  certificate: Buffer;
  certificateRequestHash: Buffer;
}

/** Locks the agent, so that of two renewals with one serial the second sees the first. */
export async function lockCertifiedAgent(
  queries: Queries,
  agentId: string,
): Promise<CertifiedAgent | null> {
  const rows = await queries.query<CertifiedAgent>(
    `select ${IDENTITY}, a.created_at as "createdAt", a.certificate,
       a.certificate_request_hash as "certificateRequestHash"
     from agents a where a.id = $1 for update of a`,
    [agentId],
  );
  return rows[0] ?? null;
}

export interface NewCertificate {
  serial: string;
  expiresAt: Date;
  der: Buffer;
  requestHash: Buffer;
}

export interface NewAgent {
  id: string;
  serverId: string;
  accountId: string;
  mode: AgentMode;
  key: Ed25519Key;
  keyFingerprint: string;
  ageRecipient: string;
  version: string;
  facts: AgentFacts;
  certificate: NewCertificate;
}

/** Ends the server's former agent, if there is one, and returns its id. */
export async function replaceAgent(queries: Queries, serverId: string): Promise<string | null> {
  const rows = await queries.query<{ id: string }>(
    'update agents set replaced_at = now() where server_id = $1 and replaced_at is null returning id',
    [serverId],
  );
  return rows[0]?.id ?? null;
}

/** Whether a server has an agent that its client opted into and that still counts. */
export async function hasResidentAgent(queries: Queries, serverId: string): Promise<boolean> {
  const rows = await queries.query(
    `select from agents where server_id = $1 and mode = 'resident' and replaced_at is null
       and quarantined_at is null`,
    [serverId],
  );
  return rows.length > 0;
}

/** Fingerprint of the key of the agent that a server has now. */
export async function currentAgentKey(queries: Queries, serverId: string): Promise<string | null> {
  const rows = await queries.query<{ key: string }>(
    'select key_fingerprint as key from agents where server_id = $1 and replaced_at is null',
    [serverId],
  );
  return rows[0]?.key ?? null;
}

export async function insertAgent(queries: Queries, agent: NewAgent): Promise<void> {
  await queries.query(
    `insert into agents (id, server_id, account_id, mode, key, key_fingerprint, age_recipient, version,
       facts, certificate_serial, certificate_expires_at, certificate, certificate_request_hash)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      agent.id,
      agent.serverId,
      agent.accountId,
      agent.mode,
      JSON.stringify(agent.key),
      agent.keyFingerprint,
      agent.ageRecipient,
      agent.version,
      JSON.stringify(agent.facts),
      agent.certificate.serial,
      agent.certificate.expiresAt,
      agent.certificate.der,
      agent.certificate.requestHash,
    ],
  );
}

export async function storeRenewedCertificate(
  queries: Queries,
  agentId: string,
  certificate: NewCertificate,
): Promise<void> {
  await queries.query(
    `update agents set previous_serial = certificate_serial, certificate_serial = $2,
       certificate_expires_at = $3, certificate = $4, certificate_request_hash = $5,
       certificate_used = false
     where id = $1`,
    [agentId, certificate.serial, certificate.expiresAt, certificate.der, certificate.requestHash],
  );
}

/** The agent has its newest certificate; the one before is now of no use to anybody. */
export async function markCertificateUsed(
  queries: Queries,
  agentId: string,
  serial: string,
): Promise<void> {
  await queries.query(
    'update agents set certificate_used = true where id = $1 and certificate_serial = $2',
    [agentId, serial],
  );
}

export async function quarantineAgent(queries: Queries, agentId: string): Promise<void> {
  await queries.query(
    'update agents set quarantined_at = coalesce(quarantined_at, now()) where id = $1',
    [agentId],
  );
}

export interface HelloRecord {
  version: string;
  facts: AgentFacts;
  actions: { id: string; version: number }[];
  documentTypes: string[];
  locked: boolean;
  /** Null keeps the one from enrolment. */
  ageRecipient: string | null;
}

export interface BegunSession {
  /** What the session is known by. */
  connectedAt: Date;
  /** Whether there is anything to tell the agent of jobs: thousands that come back at once have none. */
  hasOpenJobs: boolean;
}

/** Notes the start of a session and what the agent says of itself. */
export async function storeHello(
  queries: Queries,
  agentId: string,
  hello: HelloRecord,
): Promise<BegunSession> {
  const rows = await queries.query<BegunSession & Record<string, unknown>>(
    `update agents set connected_at = date_trunc('milliseconds', clock_timestamp()), last_seen_at = now(),
       version = $2, facts = $3, actions = $4, document_types = $5, locked = $6,
       age_recipient = coalesce($7, age_recipient)
     where id = $1 returning connected_at as "connectedAt",
       exists (select from jobs where agent_id = $1 and ended_at is null) as "hasOpenJobs"`,
    [
      agentId,
      hello.version,
      JSON.stringify(hello.facts),
      JSON.stringify(hello.actions),
      hello.documentTypes,
      hello.locked,
      hello.ageRecipient,
    ],
  );
  return rows[0]!;
}

/** Notes the end of a session, unless a newer one has begun. */
export async function storeSessionEnd(
  queries: Queries,
  agentId: string,
  connectedAt: Date,
): Promise<void> {
  await queries.query(
    `update agents set connected_at = null, last_seen_at = now() where id = $1 and connected_at = $2`,
    [agentId, connectedAt],
  );
}

export async function storeSeen(queries: Queries, agentIds: readonly string[]): Promise<void> {
  await queries.query('update agents set last_seen_at = now() where id = any($1)', [agentIds]);
}

/** Whether a rescue agent still has a reason to be there: a valid grant, or results not yet delivered. */
export async function hasValidGrantOrOpenJob(
  queries: Queries,
  serverId: string,
  agentId: string,
): Promise<boolean> {
  const rows = await queries.query<{ found: boolean }>(
    `select exists (
       select from grant_servers s join grants g on g.id = s.grant_id
       where s.server_id = $1 and g.not_before <= now() and g.expires_at > now()
         and not exists (select from revocations r where r.kind = 'grant' and r.subject = g.id::text)
     ) or exists (
       select from jobs j where j.agent_id = $2 and j.state in ('delivered', 'running')
     ) as found`,
    [serverId, agentId],
  );
  return rows[0]!.found;
}
