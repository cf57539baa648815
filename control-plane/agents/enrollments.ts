import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { shell } from '../../proto/documents/command-text.ts';
import { actorOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import type { ServersService } from '../servers/servers-service.ts';
import { hasResidentAgent } from './agent-store.ts';
import type { AgentMode } from './agent-store.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import { insertEnrollment, readTrustChain } from './enrollment-store.ts';
import type { InstallerFiles } from './installer-files.ts';

export const ENROLLMENT_LIFETIME_MS = 15 * 60_000;
const TOKEN_BYTES = 32;

/** All that an install line carries: a token for one use, and digests of everything it leads to. */
export interface Enrollment {
  id: string;
  serverId: string;
  mode: AgentMode;
  token: string;
  expiresAt: Date;
  agentAddress: string;
  caPin: string;
  installerUrl: string;
  installerDigest: string;
  rootDigest: string | null;
  accountKeysDigest: string | null;
}

export interface EnrollmentsOptions {
  database: Database;
  servers: Pick<ServersService, 'resolve'>;
  authority: CertificateAuthority;
  installer: InstallerFiles;
  /** `host:port` that agents dial. */
  agentAddress: () => string;
  /** Where people and installers reach the HTTP interface, without a slash at the end. */
  publicUrl: () => string;
}

export type CreateEnrollment = (
  caller: Caller,
  serverReference: string,
  mode: AgentMode,
) => Promise<Enrollment>;

/** Prepares that a server gets an agent. Only a hash of the token is kept. */
export function createEnrollments(options: EnrollmentsOptions): CreateEnrollment {
  const { database, servers, authority, installer } = options;
  return async (caller, serverReference, mode) => {
    const server = await servers.resolve(caller, serverReference);
    if (caller.role !== 'client' && (await hasResidentAgent(database, server.id))) {
      throw clientNeeded(server.name);
    }
    const installerDigest = await installer.digest('install.sh');
    const [rootChain, accountKeys] = await Promise.all([
      readTrustChain(database, null),
      readTrustChain(database, server.accountId),
    ]);
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const id = randomUUID();
    const expiresAt = new Date(Date.now() + ENROLLMENT_LIFETIME_MS);
    await database.transaction(async (queries) => {
      await insertEnrollment(queries, {
        id,
        serverId: server.id,
        mode,
        tokenHash: hashToken(token),
        createdBy: caller.personId,
        expiresAt,
      });
      await appendAudit(queries, {
        chain: `account:${server.accountId}`,
        actor: actorOf(caller),
        kind: 'enrollment.created',
        accountId: server.accountId,
        content: { enrollment: id, server: server.id, mode, expiresAt: expiresAt.toISOString() },
      });
    });
    return {
      id,
      serverId: server.id,
      mode,
      token,
      expiresAt,
      agentAddress: options.agentAddress(),
      caPin: authority.pin,
      installerUrl: `${options.publicUrl()}/install/install.sh`,
      installerDigest,
      rootDigest: rootChain[0]?.digest ?? null,
      accountKeysDigest: accountKeys[0]?.digest ?? null,
    };
  };
}

/** An agent that the client opted into is replaced by the client alone. */
export function clientNeeded(server: string): DomainError {
  return new DomainError(
    'forbidden',
    'client_needed',
    'This server has a resident agent; only its client can replace it.',
    {
      safe: 'The agent stays as it is.',
      next: [
        {
          label: 'the client makes the install line',
          command: shell`intervene enroll ${server} --mode resident`,
        },
      ],
    },
  );
}

export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
