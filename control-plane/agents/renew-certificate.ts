import { X509Certificate } from 'node:crypto';
import { appendAudit } from '../audit/audit.ts';
import type { Database, Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import {
  hasValidGrantOrOpenJob,
  lockCertifiedAgent,
  quarantineAgent,
  storeRenewedCertificate,
} from './agent-store.ts';
import type { CertifiedAgent } from './agent-store.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { AgentCertificate, CertificateAuthority } from './certificate-authority.ts';
import { isLostTime } from './restoration-store.ts';
import { certificateLifetime, hashRequest } from './enroll-agent.ts';

/** An agent that was away may renew so long after its certificate ended. */
export const LATE_RENEWAL_MS = 30 * 24 * 3600_000;
const RESCUE_LIFETIME_MS = 24 * 3600_000;

export interface RenewCertificateOptions {
  database: Database;
  authority: CertificateAuthority;
  sessions: AgentSessions;
}

/**
 * Replaces an agent's certificate. A certificate is renewed once: a second request with the same serial means
 * that two hold one identity, so the agent is quarantined and an alarm raised. Only while nobody was seen with
 * the new certificate is the same request answered again, in the same words: an answer may be lost on the way.
 */
export function createRenewCertificate({ database, authority, sessions }: RenewCertificateOptions) {
  return async (presented: AgentCertificate, request: Uint8Array): Promise<Buffer> => {
    const { agentId } = presented;
    const requestHash = hashRequest(request);
    const answer = await database.transaction(async (queries) => {
      const agent = await lockCertifiedAgent(queries, agentId);
      if (agent === null || agent.replaced || agent.quarantined || agent.revoked) {
        throw renewalRefused('agent_not_valid', 'This agent is no longer accepted.');
      }
      if (presented.serial !== agent.serial) {
        if (isRepeated(agent, presented, requestHash)) {
          return { der: agent.certificate, expiresAt: agent.certificateExpiresAt };
        }
        const isAdopted = await isFromLostTime(queries, agent, presented);
        if (!isAdopted) await quarantineAgent(queries, agentId);
        await appendAudit(queries, {
          chain: `account:${agent.accountId}`,
          actor: 'system',
          kind: isAdopted ? 'agent.certificate_adopted' : 'alarm.certificate_serial_reused',
          accountId: agent.accountId,
          content: { agent: agentId, server: agent.serverId, serial: presented.serial },
        });
        if (!isAdopted) return null;
      }
      await requireStillWanted(agent, () =>
        hasValidGrantOrOpenJob(queries, agent.serverId, agentId),
      );
      const certificate = await authority.issueAgentCertificate(
        request,
        agentId,
        lifetimeSeconds(agent),
      );
      await storeRenewedCertificate(queries, agentId, { ...certificate, requestHash });
      return { der: certificate.der, expiresAt: certificate.expiresAt };
    });
    if (answer === null) {
      sessions.closeAgent(agentId, 'agent_quarantined');
      throw renewalRefused(
        'agent_quarantined',
        'This certificate was renewed before: two programs use one identity. Neither is accepted any more.',
      );
    }
    sessions.prolong(agentId, answer.expiresAt);
    return answer.der;
  };
}

function lifetimeSeconds(agent: CertifiedAgent): number {
  const usual = certificateLifetime(agent.mode);
  if (agent.mode === 'resident') return usual;
  const left = agent.createdAt.getTime() + RESCUE_LIFETIME_MS - Date.now();
  return Math.min(usual, Math.ceil(left / 1000));
}

function isRepeated(
  agent: CertifiedAgent,
  presented: AgentCertificate,
  requestHash: Buffer,
): boolean {
  return (
    presented.serial === agent.previousSerial &&
    !agent.certificateUsed &&
    requestHash.equals(agent.certificateRequestHash)
  );
}

/**
 * Whether this authority issued the certificate in a time that a restored backup knows nothing of. Once: what is
 * issued now is newer than anything from then, so a second one who comes is found out as ever.
 */
async function isFromLostTime(
  queries: Queries,
  agent: CertifiedAgent,
  presented: AgentCertificate,
): Promise<boolean> {
  const known = new X509Certificate(agent.certificate).validFromDate;
  return presented.notBefore > known && (await isLostTime(queries, presented.notBefore));
}

async function requireStillWanted(
  agent: CertifiedAgent,
  hasReason: () => Promise<boolean>,
): Promise<void> {
  if (agent.mode === 'resident') return;
  if (Date.now() - agent.createdAt.getTime() > RESCUE_LIFETIME_MS) {
    throw renewalRefused('rescue_over', 'A rescue agent is accepted for 24 hours at most.');
  }
  if (!(await hasReason())) {
    throw renewalRefused('grant_missing', 'A rescue agent is renewed only while a grant is valid.');
  }
}

function renewalRefused(code: string, happened: string): DomainError {
  return new DomainError('forbidden', code, happened, {
    safe: 'Jobs that run go on; nothing new is started on this server.',
  });
}
