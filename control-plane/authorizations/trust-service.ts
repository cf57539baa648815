import {
  followAccountKeysChain,
  followRootChain,
  requireUnrevokedSigners,
} from '../../proto/documents/chain.ts';
import {
  digestOf,
  DocumentError,
  mediaType,
  openDocument,
  readUnverified,
} from '../../proto/documents/document.ts';
import type { DocumentKind, VerifiedDocument } from '../../proto/documents/document.ts';
import { parseEnvelope } from '../../proto/documents/dsse.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import { auditPerson } from '../accounts/accounts-service.ts';
import type { AccountsService } from '../accounts/accounts-service.ts';
import { actorOf, isEngineer } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { changeRole, findPerson } from '../accounts/person-store.ts';
import type { Person } from '../accounts/person-store.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database, Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { readCertifications, readRoot, rootKeys } from './certifications.ts';
import {
  findDocument,
  insertDocument,
  lockDocumentChain,
  readDocumentChain,
  readUnexpiredCertifications,
} from './document-store.ts';
import type { StoredDocument } from './document-store.ts';
import { accountsWithAgents, revokedKeys } from './revocation-store.ts';

/**
 * The documents that say whose signatures count. Every one is verified before it is stored; agents verify
 * them again, and do not take our word.
 */
export interface TrustService {
  rootChain(): Promise<StoredDocument[]>;
  /** The first root, or the next one: signed by the thresholds of both. Repeating one changes nothing. */
  addRoot(caller: Caller, envelope: Uint8Array): Promise<StoredDocument>;
  certifications(): Promise<StoredDocument[]>;
  /** A lead document by the root, or an engineer document by a lead or the root. */
  addCertification(caller: Caller, envelope: Uint8Array): Promise<StoredDocument>;
  accountKeys(caller: Caller, account: string): Promise<StoredDocument[]>;
  /** The first keys of an account, or the next ones: signed by one of those before. */
  addAccountKeys(caller: Caller, account: string, envelope: Uint8Array): Promise<StoredDocument>;
}

export interface TrustDependencies {
  database: Database;
  bus: Bus;
  accounts: Pick<AccountsService, 'resolveAccount'>;
}

export function createTrustService({ database, bus, accounts }: TrustDependencies): TrustService {
  /** Stores it with its audit entry, unless the same document is there already. */
  async function store(
    caller: Caller,
    document: StoredDocument & { accountId: string | null },
    queries: Queries,
  ): Promise<StoredDocument> {
    await insertDocument(queries, document);
    const { accountId, kind, digest, version, personId } = document;
    await appendAudit(queries, {
      chain: accountId === null ? 'operator' : `account:${accountId}`,
      actor: actorOf(caller),
      kind: `document.${kind}`,
      accountId,
      content: { digest, ...(version && { version }), ...(personId && { person: personId }) },
    });
    return document;
  }

  async function tellEverybody(): Promise<void> {
    for (const id of await accountsWithAgents(database)) bus.publish('account', id);
  }

  return {
    rootChain: () => readDocumentChain(database, null),

    addRoot: async (caller, envelope) => {
      const added = await database.transaction(async (queries) => {
        await lockDocumentChain(queries, null);
        const chain = await readDocumentChain(queries, null);
        const known = chain.find((row) => row.digest === digestOf(envelope));
        if (known !== undefined) return known;
        const root = followRootChain(...continued(chain, envelope));
        requireNext(root, chain);
        if (chain.length > 0) {
          const revoked = await revokedKeys(queries);
          requireUnrevokedSigners(followRootChain(...followed(chain)), root, (key) =>
            revoked.has(key),
          );
        }
        return store(caller, { ...stored(root, envelope), accountId: null }, queries);
      });
      await tellEverybody();
      return added;
    },

    certifications: () => readUnexpiredCertifications(database, new Date()),

    addCertification: (caller, envelope) =>
      database.transaction(async (queries) => {
        // Of two that name one key, the second sees the first.
        await lockDocumentChain(queries, null);
        const known = await findDocument(queries, digestOf(envelope));
        if (known !== null) return known;
        const document = await openCertification(queries, envelope);
        const { kind, payload } = document;
        const person = await requireCertifiable(queries, payload.person);
        await requireOwnKeys(queries, document);
        const added = await store(
          caller,
          { ...stored(document, envelope), accountId: null },
          queries,
        );
        // The operator root outranks whoever invited the person.
        if (kind === 'lead' && person.role === 'engineer') {
          await changeRole(queries, person.id, 'lead');
          await auditPerson(queries, actorOf(caller), 'person.role', { ...person, role: 'lead' });
        }
        return added;
      }),

    accountKeys: async (caller, reference) =>
      readDocumentChain(database, (await accounts.resolveAccount(caller, reference)).id),

    addAccountKeys: async (caller, reference, envelope) => {
      const { id: accountId } = await accounts.resolveAccount(caller, reference);
      const added = await database.transaction(async (queries) => {
        await lockDocumentChain(queries, accountId);
        const chain = await readDocumentChain(queries, accountId);
        const known = chain.find((row) => row.digest === digestOf(envelope));
        if (known !== undefined) return known;
        const keys = followAccountKeysChain(...continued(chain, envelope));
        requireNext(keys, chain);
        if (chain.length > 0) {
          const revoked = await revokedKeys(queries);
          const current = followAccountKeysChain(...followed(chain));
          requireUnrevokedSigners(current, keys, (key) => revoked.has(key));
        }
        if (keys.payload.account !== accountId) {
          throw new DomainError(
            'invalid',
            'account_mismatch',
            'The keys are those of another account.',
          );
        }
        return store(caller, { ...stored(keys, envelope), accountId }, queries);
      });
      bus.publish('account', accountId);
      return added;
    },
  };
}

function followed(chain: readonly StoredDocument[]): [Uint8Array[], string] {
  return [chain.map((row) => row.envelope), chain[0]!.digest];
}

/** The chain with one more, and the pin it is followed from. */
function continued(chain: readonly StoredDocument[], envelope: Uint8Array): [Uint8Array[], string] {
  const first = chain[0]?.digest ?? digestOf(envelope);
  return [[...chain.map((row) => row.envelope), envelope], first];
}

/** A chain is followed from whatever is pinned; ours begins with version 1. */
function requireNext(
  { payload, kind }: VerifiedDocument<'root' | 'account-keys'>,
  chain: readonly StoredDocument[],
): void {
  const expected = chain.length + 1;
  if (payload.version === expected) return;
  throw new DocumentError('payload_malformed', `version ${expected} of ${kind} was expected`);
}

function stored(
  document: VerifiedDocument<'root' | 'account-keys' | 'lead' | 'engineer'>,
  envelope: Uint8Array,
): StoredDocument {
  const { payload, digest, kind } = document;
  return {
    digest,
    kind,
    version: 'version' in payload ? payload.version : null,
    personId: 'person' in payload ? payload.person : null,
    expiresAt: 'expiresAt' in payload ? new Date(payload.expiresAt * 1000) : null,
    envelope: Buffer.from(envelope),
  };
}

async function openCertification(
  queries: Queries,
  envelope: Uint8Array,
): Promise<VerifiedDocument<'lead'> | VerifiedDocument<'engineer'>> {
  const root = await readRoot(queries);
  if (root === null) {
    throw new DomainError('conflict', 'root_missing', 'There is no operator root yet.', {
      next: [{ label: 'Create it', command: 'intervene init' }],
    });
  }
  const holding = await readCertifications(queries);
  const document = isKind(envelope, 'lead')
    ? openDocument('lead', envelope, rootKeys(root, 'lead'))
    : openDocument('engineer', envelope, [
        ...rootKeys(root, 'engineer'),
        ...holding.filter((row) => row.kind === 'lead').flatMap((row) => row.keys),
      ]);
  if (document.payload.expiresAt * 1000 <= Date.now()) {
    throw new DomainError('invalid', 'certification_expired', 'The document has expired.');
  }
  return document;
}

function isKind(envelope: Uint8Array, kind: DocumentKind): boolean {
  // `digestOf` has parsed it before.
  return parseEnvelope(envelope).payloadType === mediaType(kind);
}

/** Otherwise one key could sign as two people; agents then count it for neither. */
async function requireOwnKeys(
  queries: Queries,
  { payload }: VerifiedDocument<'lead'> | VerifiedDocument<'engineer'>,
): Promise<void> {
  const names = new Set(payload.keys.map(keyFingerprint));
  for (const { kind, envelope } of await readUnexpiredCertifications(queries, new Date())) {
    if (kind !== 'lead' && kind !== 'engineer') continue;
    const other = readUnverified(kind, envelope).payload;
    const taken = other.keys.map(keyFingerprint).find((fingerprint) => names.has(fingerprint));
    if (taken === undefined || other.person === payload.person) continue;
    throw new DomainError(
      'conflict',
      'key_of_another_person',
      `The key ${taken} is certified for ${other.name} already: one key signs for one person.`,
      { next: [{ label: 'Let them make a key of their own', command: 'intervene keys create' }] },
    );
  }
}

/** Orders are for engineers and leads: administrators and auditors sign nothing. */
async function requireCertifiable(queries: Queries, id: string): Promise<Person> {
  const person = await findPerson(queries, id);
  if (person === null || !isEngineer(person)) {
    throw new DomainError('not_found', 'person_not_found', `${id} is no engineer or lead.`, {
      next: [
        { label: 'Invite them first', command: 'intervene people invite NAME --role engineer' },
      ],
    });
  }
  return person;
}
