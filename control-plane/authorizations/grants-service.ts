import { shell } from '../../proto/documents/command-text.ts';
import { digestOf, mediaType, openDocument } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { parseEnvelope } from '../../proto/documents/dsse.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import { actorOf, isEngineer, scopeOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { hasResidentAgent } from '../agents/agent-store.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database, Queries } from '../database/database.ts';
import { pickReferenced } from '../database/reference.ts';
import { DomainError } from '../domain-error.ts';
import { serversOfAccount } from '../servers/server-store.ts';
import type { ServersService } from '../servers/servers-service.ts';
import { accountSigners } from './account-keys.ts';
import { certifiedKeysOf } from './certifications.ts';
import {
  findGrantByDigest,
  grantCandidates,
  grantNumber,
  insertGrant,
  listGrants,
} from './grant-store.ts';
import type { GrantState, StoredGrant } from './grant-store.ts';

/** What clients have signed, and what engineers have attested for them. */
export interface GrantsService {
  /**
   * Stores a grant that a client signed with a key of their account, or an attestation that an engineer
   * signed with a certified key. The same document again is answered with the stored one.
   */
  add(caller: Caller, envelope: Uint8Array): Promise<StoredGrant>;
  list(
    caller: Caller,
    query: { server?: string | undefined; state?: GrantState | undefined },
    page: { before: number | null; limit: number },
  ): Promise<StoredGrant[]>;
  /** By `G-301`, `301`, id or end of the id. */
  resolve(caller: Caller, reference: string): Promise<StoredGrant>;
}

export interface GrantsDependencies {
  database: Database;
  bus: Bus;
  servers: Pick<ServersService, 'resolve'>;
}

type Opened = VerifiedDocument<'grant'> | VerifiedDocument<'attestation'>;

export function createGrantsService({ database, bus, servers }: GrantsDependencies): GrantsService {
  return {
    add: async (caller, envelope) => {
      const stored = await database.transaction(async (queries) => {
        const known = await findGrantByDigest(queries, digestOf(envelope));
        const isVisible = (scopeOf(caller) ?? known?.accountId) === known?.accountId;
        if (known !== null && isVisible) return known;
        const opened = await open(queries, caller, envelope);
        await requireServers(queries, opened);
        const { payload, digest, kind, signers } = opened;
        const signedBy = signers.map(keyFingerprint).join(' ');
        const row = { kind, content: payload, digest, signedBy, envelope };
        if (!(await insertGrant(queries, row))) {
          throw new DomainError('conflict', 'grant_exists', 'Another grant has the same id.');
        }
        const added = (await findGrantByDigest(queries, digest))!;
        await appendAudit(queries, {
          chain: `account:${payload.account}`,
          actor: actorOf(caller),
          kind: `${kind}.signed`,
          accountId: payload.account,
          content: { grant: payload.id, number: added.number, digest, signedBy },
        });
        return added;
      });
      bus.publish('account', stored.accountId);
      return stored;
    },

    list: async (caller, query, page) => {
      const server =
        query.server === undefined ? null : await servers.resolve(caller, query.server);
      const filter = { serverId: server?.id ?? null, state: query.state ?? null };
      return listGrants(database, scopeOf(caller), filter, page.before, page.limit);
    },

    resolve: async (caller, reference) => {
      const found = await grantCandidates(database, scopeOf(caller), reference);
      const number = grantNumber(reference);
      return (
        found.find((row) => row.number === number) ?? pickReferenced(found, reference, 'grant')
      );
    },
  };
}

/** Each kind of document is for people of one role, whose keys it must be signed with. */
async function open(queries: Queries, caller: Caller, envelope: Uint8Array): Promise<Opened> {
  const type = parseEnvelope(envelope).payloadType;
  if (type === mediaType('attestation')) {
    if (!isEngineer(caller)) throw wrongSigner('An attestation is signed by an engineer.');
    const keys = await certifiedKeysOf(queries, caller.personId);
    const attestation = openDocument('attestation', envelope, keys);
    await requireNotResident(queries, attestation.payload.servers);
    return requireUnexpired(attestation);
  }
  if (caller.role !== 'client') throw wrongSigner('A grant is signed by the client.');
  const accountId = caller.accountId!;
  const keys = await accountSigners(queries, accountId);
  if (keys.length === 0) {
    throw new DomainError('conflict', 'account_keys_missing', 'The account has no keys yet.', {
      next: [{ label: 'Create them', command: 'intervene keys create' }],
    });
  }
  const grant = openDocument('grant', envelope, keys);
  if (grant.payload.account !== accountId) {
    throw new DomainError('invalid', 'account_mismatch', 'The grant is for another account.');
  }
  return requireUnexpired(grant);
}

function requireUnexpired<T extends Opened>(opened: T): T {
  if (opened.payload.expiresAt * 1000 <= Date.now()) {
    throw new DomainError('invalid', 'grant_expired', 'The authorization has expired already.');
  }
  return opened;
}

/** Agents refuse it too: where the owner opted in, only the owner permits. */
async function requireNotResident(
  queries: Queries,
  servers: readonly { id: string; name: string }[],
): Promise<void> {
  for (const { id, name } of servers) {
    if (!(await hasResidentAgent(queries, id))) continue;
    throw new DomainError(
      'conflict',
      'attestation_not_allowed',
      `${name} is opted in: only its owner permits work on it.`,
      {
        next: [
          { label: 'The client signs', command: shell`intervene authorize ${name} --ticket T` },
        ],
      },
    );
  }
}

async function requireServers(queries: Queries, { payload }: Opened): Promise<void> {
  const ids = new Set(payload.servers.map((server) => server.id));
  const found = await serversOfAccount(queries, payload.account, [...ids]);
  if (ids.size !== payload.servers.length || found.length !== ids.size) {
    const known = new Set(found.map((row) => row.id));
    const missing = payload.servers.find((server) => !known.has(server.id));
    throw new DomainError(
      'not_found',
      'server_not_found',
      missing === undefined
        ? 'The authorization names a server twice.'
        : `The account has no server ${missing.id}.`,
    );
  }
}

function wrongSigner(happened: string): DomainError {
  return new DomainError('forbidden', 'type_not_allowed_for_key', happened);
}
