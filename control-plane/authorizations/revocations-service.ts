import { openDocument } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';
import { GRANT_MAX_SECONDS } from '../../proto/documents/kinds/grant.ts';
import { actorOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database, Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { accountSigners, readAccountKeys } from './account-keys.ts';
import { readCertifications, readRoot, rootKeys } from './certifications.ts';
import { forgetUnusable } from '../credentials/credential-store.ts';
import type { Credential } from '../credentials/credential-store.ts';
import type { CredentialsService } from '../credentials/credentials-service.ts';
import { handOverJobsOf, withoutCertification } from './engineer-removal.ts';
import type { StoredGrant } from './grant-store.ts';
import type { GrantsService } from './grants-service.ts';
import { accountsWithAgents, agentKeysOf, storeRevocation } from './revocation-store.ts';
import type { NewRevocation } from './revocation-store.ts';

const auditKinds: Record<NewRevocation['kind'], string> = {
  grant: 'grant.revoked',
  key: 'key.revoked',
  credential: 'credential.withdrawn',
};

/** Agents keep their own time; a revoked grant is told to them for a day longer than it could hold. */
const TOLD_AFTER_EXPIRY_MS = 24 * 3600_000;

export interface RevocationsService {
  /** Unsigned: the control plane's word is enough to refuse. */
  revokeGrant(
    caller: Caller,
    reference: string,
    options: { afterStep: boolean; reason: string },
  ): Promise<string[]>;
  /** Likewise: the secret that a client gave is kept, and sent, no longer. */
  withdrawCredential(caller: Caller, reference: string): Promise<string[]>;
  /** Signed by a client for their own account, by a certified engineer, or by the root. */
  addSigned(caller: Caller, envelope: Uint8Array): Promise<string[]>;
}

export interface RevocationsDependencies {
  database: Database;
  bus: Bus;
  grants: Pick<GrantsService, 'resolve'>;
  credentials: Pick<CredentialsService, 'resolve'>;
}

export function createRevocationsService({
  database,
  bus,
  grants,
  credentials,
}: RevocationsDependencies): RevocationsService {
  /** Agents look at once: sessions of the account wake up. */
  async function tell(rows: readonly NewRevocation[]): Promise<void> {
    const concerned = new Set(rows.map((row) => row.accountId));
    const accounts = concerned.has(null) ? await accountsWithAgents(database) : [...concerned];
    for (const id of accounts) if (id !== null) bus.publish('account', id);
  }

  async function revoke(caller: Caller, rows: readonly NewRevocation[]): Promise<string[]> {
    const handedOver = await database.transaction(async (queries) => {
      const ofProvider = rows.some((row) => row.kind === 'key' && row.accountId === null);
      const before = ofProvider ? await readCertifications(queries) : [];
      for (const row of rows) {
        if (!(await storeRevocation(queries, row))) continue;
        await appendAudit(queries, {
          chain: row.accountId === null ? 'operator' : `account:${row.accountId}`,
          actor: actorOf(caller),
          kind: auditKinds[row.kind],
          accountId: row.accountId,
          content: {
            subject: row.subject,
            afterStep: row.afterStep,
            reason: row.reason,
            signed: row.envelope !== null,
          },
        });
      }
      if (rows.some((row) => row.kind !== 'key')) await forgetUnusable(queries);
      const leaving = ofProvider ? await withoutCertification(queries, before) : [];
      return handOverJobsOf(queries, leaving, before, caller);
    });
    await tell(rows);
    for (const { id, agentId } of handedOver) {
      bus.publish('job', id);
      bus.publish('end', id);
      bus.publish('agent', agentId);
    }
    return rows.map((row) => row.subject);
  }

  /** Both have ids of one kind, and a signed revocation names them alike. */
  async function findById(
    caller: Caller,
    id: string,
  ): Promise<ReturnType<typeof ofGrant | typeof ofCredential>> {
    try {
      return ofGrant(await grants.resolve(caller, id));
    } catch (error) {
      if (!(error instanceof DomainError) || error.kind !== 'not_found') throw error;
      return ofCredential(
        await credentials.resolve(caller, id).catch((cause: unknown) => {
          throw cause instanceof DomainError && cause.kind === 'not_found' ? error : cause;
        }),
      );
    }
  }

  return {
    revokeGrant: async (caller, reference, { afterStep, reason }) => {
      const grant = await grants.resolve(caller, reference);
      const row = { ...ofGrant(grant), afterStep, reason, envelope: null };
      return revoke(caller, [{ ...row, revokedBy: caller.personId }]);
    },

    withdrawCredential: async (caller, reference) => {
      const credential = await credentials.resolve(caller, reference);
      const said = { afterStep: true, reason: '', envelope: null, revokedBy: caller.personId };
      return revoke(caller, [{ ...ofCredential(credential), ...said }]);
    },

    addSigned: async (caller, envelope) => {
      const { document, authority } = await openRevoke(database, caller, envelope);
      const { payload } = document;
      const said = {
        afterStep: payload.afterStep,
        reason: payload.reason,
        envelope: Buffer.from(envelope),
        revokedBy: caller.personId,
      };
      const rows: NewRevocation[] = [];
      for (const id of payload.grants) {
        rows.push({ ...(await findById(caller, id)), ...said });
      }
      for (const subject of payload.keys) {
        const accountId = await accountOfKey(database, caller, authority, subject);
        rows.push({ kind: 'key', subject, accountId, expiresAt: null, ...said });
      }
      return revoke(caller, rows);
    },
  };
}

function ofGrant(
  grant: StoredGrant,
): Pick<NewRevocation, 'kind' | 'subject' | 'accountId' | 'expiresAt'> {
  return {
    kind: 'grant',
    subject: grant.id,
    accountId: grant.accountId,
    expiresAt: new Date(grant.expiresAt.getTime() + TOLD_AFTER_EXPIRY_MS),
  };
}

/** What was made is the client's own, and nobody uses it by order: only what was given is withdrawn. */
function ofCredential(
  credential: Credential,
): Pick<NewRevocation, 'kind' | 'subject' | 'accountId' | 'expiresAt'> {
  if (credential.kind === 'made') {
    throw new DomainError(
      'conflict',
      'credential_is_made',
      `C-${credential.number} was made for the client: there is nothing to withdraw.`,
    );
  }
  // As long as its grant can be told of, and a day more.
  const expiresAt = new Date(Date.now() + GRANT_MAX_SECONDS * 1000 + TOLD_AFTER_EXPIRY_MS);
  return { kind: 'credential', subject: credential.id, accountId: credential.accountId, expiresAt };
}

/** On whose strength something is revoked. Leads take back keys of others, engineers their own. */
type Authority = 'account' | 'lead' | 'engineer' | 'root';

async function openRevoke(
  queries: Queries,
  caller: Caller,
  envelope: Uint8Array,
): Promise<{ document: VerifiedDocument<'revoke'>; authority: Authority }> {
  const root = rootKeys(await readRoot(queries), 'revoke');
  // A lost laptop is revoked with the printed key.
  const account =
    caller.accountId === null
      ? []
      : await accountSigners(queries, caller.accountId, ['signing', 'recovery']);
  const certified = caller.role === 'client' ? [] : await readCertifications(queries);
  const engineers = certified.flatMap(({ keys }) => keys);
  const leads = certified.filter(({ kind }) => kind === 'lead').flatMap(({ keys }) => keys);
  const document = openDocument('revoke', envelope, [...root, ...account, ...engineers]);
  const among = (keys: readonly PublicKey[]) => {
    const known = new Set(keys.map(keyFingerprint));
    return document.signers.every((signer) => known.has(keyFingerprint(signer)));
  };
  if (among(root)) return { document, authority: 'root' };
  if (among(account)) return { document, authority: 'account' };
  if (among(leads)) return { document, authority: 'lead' };
  return { document, authority: 'engineer' };
}

/** The account a key belongs to, null for keys of the provider. Throws when it is not theirs to revoke. */
async function accountOfKey(
  queries: Queries,
  caller: Caller,
  authority: Authority,
  fingerprint: string,
): Promise<string | null> {
  if (authority === 'root') return null;
  if (authority === 'engineer' || authority === 'lead') {
    const certified = await readCertifications(queries);
    const holder = certified.find((row) => row.keys.map(keyFingerprint).includes(fingerprint));
    if (holder !== undefined && (authority === 'lead' || holder.person === caller.personId)) {
      return null;
    }
    if (holder !== undefined) {
      throw new DomainError(
        'forbidden',
        'lead_needed',
        `Only a lead takes the keys of ${holder.name} back.`,
        { next: [{ label: 'See who is one', command: 'intervene engineers list' }] },
      );
    }
  } else {
    const accountId = caller.accountId!;
    const own = await readAccountKeys(queries, accountId);
    const isOwn = own?.payload.keys.some((entry) => keyFingerprint(entry.key) === fingerprint);
    const agents = await agentKeysOf(queries, accountId, [fingerprint]);
    if (isOwn || agents.has(fingerprint)) return accountId;
  }
  throw new DomainError(
    'not_found',
    'key_not_found',
    `There is no key ${fingerprint} that these signatures could revoke.`,
  );
}
