import { createHash, randomUUID } from 'node:crypto';
import { ageRecipient } from '../../proto/documents/fields.ts';
import { ed25519KeySchema, keyFingerprint } from '../../proto/documents/keys.ts';
import type { Ed25519Key } from '../../proto/documents/keys.ts';
import { wireLimits } from '../../proto/wire.ts';
import type { EnrollRequest__Output } from '../../proto/wire.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { hasResidentAgent, insertAgent, replaceAgent } from './agent-store.ts';
import type { AgentMode } from './agent-store.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import { burnEnrollment, findBurntToken, readTrustChain } from './enrollment-store.ts';
import type { BurntEnrollment } from './enrollment-store.ts';
import { clientNeeded, hashToken } from './enrollments.ts';
import { readAgentVersion, readFacts } from './facts.ts';
import { trustPages } from './trust-pages.ts';

/** Of documents in the answer, with room for the certificate. */
const ANSWER_BYTES = wireLimits.messageBytes - 32 * 1024;
const LIFETIME_SECONDS = { resident: 3600, rescue: 4 * 3600 } as const;

/** How long a certificate of this kind of agent holds, in seconds. */
export function certificateLifetime(mode: AgentMode): number {
  return LIFETIME_SECONDS[mode];
}

export interface EnrolledAgent {
  agentId: string;
  serverId: string;
  accountId: string;
  certificate: Buffer;
  rootChain: Buffer[];
  accountKeys: Buffer[];
}

export interface EnrollAgentOptions {
  database: Database;
  authority: CertificateAuthority;
  sessions: AgentSessions;
}

/**
 * Turns a one-use token and a certificate request into an agent. The token is burnt first and stays burnt
 * whatever happens then. Throws DomainError: `token_refused` without saying why, and the `…_invalid` codes.
 *
 * @param peer address of the caller, for the audit
 */
export function createEnrollAgent({ database, authority, sessions }: EnrollAgentOptions) {
  return async (request: EnrollRequest__Output, peer: string): Promise<EnrolledAgent> => {
    const enrollment = await burnToken(database, request.token ?? '', peer);
    const key = readAgentKey(request.agentKey ?? '');
    const recipient = ageRecipient.safeParse(request.ageRecipient);
    if (!recipient.success) throw invalid('age_recipient_invalid', 'Not an age recipient.');
    const agentId = randomUUID();
    const certificateRequest = request.certificateRequest ?? Buffer.alloc(0);
    const certificate = await authority.issueAgentCertificate(
      certificateRequest,
      agentId,
      certificateLifetime(enrollment.mode),
    );
    const { serverId, accountId, mode } = enrollment;
    const replaced = await database.transaction(async (queries) => {
      // The client may have got its agent after somebody of the provider made this token.
      if (!enrollment.byClient && (await hasResidentAgent(queries, serverId))) {
        throw clientNeeded(serverId);
      }
      const former = await replaceAgent(queries, serverId);
      await insertAgent(queries, {
        id: agentId,
        serverId,
        accountId,
        mode,
        key,
        keyFingerprint: keyFingerprint(key),
        ageRecipient: recipient.data,
        version: readAgentVersion(request.facts),
        facts: readFacts(request.facts),
        certificate: { ...certificate, requestHash: hashRequest(certificateRequest) },
      }).catch((error: unknown) => {
        throw isKeyTaken(error)
          ? new DomainError(
              'conflict',
              'agent_key_used',
              'An agent with this key is already enrolled.',
            )
          : error;
      });
      await appendAudit(queries, {
        chain: `account:${accountId}`,
        actor: `agent:${agentId}`,
        kind: 'agent.enrolled',
        accountId,
        content: {
          agent: agentId,
          server: serverId,
          mode,
          key: keyFingerprint(key),
          peer,
          replaced: former,
        },
      });
      if (former !== null) {
        await appendAudit(queries, {
          chain: `account:${accountId}`,
          actor: 'system',
          kind: 'alarm.agent_replaced',
          accountId,
          content: { server: serverId, former, agent: agentId, peer },
        });
      }
      return former;
    });
    if (replaced !== null) sessions.closeAgent(replaced, 'agent_replaced');
    const [rootChain, accountKeys] = await Promise.all([
      readTrustChain(database, null),
      readTrustChain(database, accountId),
    ]);
    return {
      agentId,
      serverId,
      accountId,
      certificate: certificate.der,
      // What does not fit follows when the agent connects.
      ...trustPages(
        rootChain.map((row) => row.envelope),
        accountKeys.map((row) => row.envelope),
        ANSWER_BYTES,
      )[0]!,
    };
  };
}

async function burnToken(
  database: Database,
  token: string,
  peer: string,
): Promise<BurntEnrollment> {
  if (!/^[A-Za-z0-9_-]{43}$/.test(token)) throw tokenRefused();
  const hash = hashToken(token);
  const enrollment = await burnEnrollment(database, hash);
  if (enrollment !== null && !enrollment.expired) return enrollment;
  const known = enrollment ?? (await findBurntToken(database, hash));
  if (known !== null) {
    const kind = enrollment === null ? 'alarm.enrollment_token_reused' : 'enrollment.expired';
    await database.transaction((queries) =>
      appendAudit(queries, {
        chain: `account:${known.accountId}`,
        actor: 'system',
        kind,
        accountId: known.accountId,
        content: { server: known.serverId, peer },
      }),
    );
  }
  throw tokenRefused();
}

function readAgentKey(text: string): Ed25519Key {
  const key = ed25519KeySchema.safeParse({ type: 'ed25519', public: text });
  if (!key.success) throw invalid('agent_key_invalid', 'Not a usable Ed25519 key.');
  return key.data;
}

export function hashRequest(certificateRequest: Uint8Array): Buffer {
  return createHash('sha256').update(certificateRequest).digest();
}

function isKeyTaken(error: unknown): boolean {
  return (error as { constraint?: unknown }).constraint === 'agents_key_fingerprint_key';
}

function tokenRefused(): DomainError {
  return new DomainError('forbidden', 'token_refused', 'The enrolment token is not valid.', {
    safe: 'Nothing was enrolled. A token that was used once is never accepted again.',
  });
}

function invalid(code: string, happened: string): DomainError {
  return new DomainError('invalid', code, happened, {
    safe: 'Nothing was enrolled; the token is used up.',
  });
}
