import { findAction } from '../../proto/actions/catalogue.ts';
import { secretsOf } from '../../proto/actions/declaration.ts';
import { shell } from '../../proto/documents/command-text.ts';
import { digestOf, openDocument } from '../../proto/documents/document.ts';
import { matchesAction } from '../../proto/documents/fields.ts';
import { GIVEN_SECRET_MAX_BYTES } from '../../proto/documents/given-secret.ts';
import type { Credential as SignedCredential } from '../../proto/documents/kinds/credential.ts';
import { sealedDigest } from '../../proto/documents/sealed-output.ts';
import { actorOf, scopeOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { currentAgentKey } from '../agents/agent-store.ts';
import { appendAudit } from '../audit/audit.ts';
import { recordRead } from '../audit/record-read.ts';
import { accountSigners } from '../authorizations/account-keys.ts';
import { findGrantByDigest } from '../authorizations/grant-store.ts';
import type { StoredGrant } from '../authorizations/grant-store.ts';
import type { Database, Queries } from '../database/database.ts';
import { pickReferenced } from '../database/reference.ts';
import { DomainError } from '../domain-error.ts';
import {
  credentialCandidates,
  credentialNumber,
  findGivenByDigest,
  insertGiven,
  listCredentials,
  readSealed,
  setOpened,
} from './credential-store.ts';
import type { Credential, CredentialFilter } from './credential-store.ts';

/** Secrets of clients: that there are any, everybody of the account and the provider may know; what they are, nobody here. */
export interface CredentialsService {
  /**
   * Keeps a secret that a client sealed to an agent and signed for one action under one permission, for every
   * order of it until the permission ends or the secret is withdrawn. The same document again is answered with
   * the stored one.
   */
  give(caller: Caller, envelope: Uint8Array, sealed: Uint8Array): Promise<Credential>;
  list(
    caller: Caller,
    filter: CredentialFilter,
    page: { before: number | null; limit: number },
  ): Promise<Credential[]>;
  /** By `C-101`, `101`, id or end of the id. */
  resolve(caller: Caller, reference: string): Promise<Credential>;
  /** What a job made, as the client opens it. Reading it changes nothing. */
  sealed(caller: Caller, reference: string): Promise<{ credential: Credential; sealed: Buffer }>;
  /** The client has it: it is kept no longer. */
  opened(caller: Caller, reference: string): Promise<Credential>;
}

export function createCredentialsService(database: Database): CredentialsService {
  async function resolve(caller: Caller, reference: string): Promise<Credential> {
    const found = await credentialCandidates(database, scopeOf(caller), reference);
    const number = credentialNumber(reference);
    return (
      found.find((row) => row.number === number) ?? pickReferenced(found, reference, 'credential')
    );
  }

  async function resolveMade(caller: Caller, reference: string): Promise<Credential> {
    const credential = await resolve(caller, reference);
    if (credential.kind === 'made') return credential;
    throw new DomainError(
      'conflict',
      'credential_is_given',
      `C-${credential.number} was given to the agent: only the agent can open it.`,
    );
  }

  return {
    resolve,
    list: (caller, filter, { before, limit }) =>
      listCredentials(database, scopeOf(caller), filter, before, limit),

    give: async (caller, envelope, sealed) => {
      const accountId = caller.accountId!;
      return database.transaction(async (queries) => {
        const known = await findGivenByDigest(queries, digestOf(envelope));
        if (known?.accountId === accountId) return known;
        const keys = await accountSigners(queries, accountId);
        const { payload, digest } = openDocument('credential', envelope, keys);
        requireSealed(payload, sealed);
        const grant = requireGrant(
          payload,
          accountId,
          await findGrantByDigest(queries, payload.grant),
        );
        await requireAgent(queries, payload);
        const row = {
          id: payload.id,
          accountId,
          serverId: payload.server,
          grantId: grant.id,
          name: payload.input,
          action: payload.action,
          envelope,
          digest,
          sealed,
          createdBy: caller.personId,
        };
        if (!(await insertGiven(queries, row))) {
          throw new DomainError('conflict', 'credential_exists', 'Another one has the same id.');
        }
        const given = (await findGivenByDigest(queries, digest))!;
        const { id, number, action, name } = given;
        await appendAudit(queries, {
          chain: `account:${accountId}`,
          actor: actorOf(caller),
          kind: 'credential.given',
          accountId,
          content: { credential: id, number, digest, grant: grant.id, action, input: name },
        });
        return given;
      });
    },

    sealed: async (caller, reference) => {
      const credential = await resolveMade(caller, reference);
      const sealed = await readSealed(database, credential.id);
      if (sealed === null) throw openedBefore(credential);
      await recordRead(database, caller, {
        kind: 'credential.read',
        subject: credential.id,
        ...auditPlace(credential),
      });
      return { credential, sealed };
    },

    opened: async (caller, reference) => {
      const credential = await resolveMade(caller, reference);
      await database.transaction(async (queries) => {
        // Saying it twice is saying it once.
        if (!(await setOpened(queries, credential.id, caller.personId))) return;
        await appendAudit(queries, {
          actor: actorOf(caller),
          kind: 'credential.opened',
          ...auditPlace(credential),
        });
      });
      return resolve(caller, credential.id);
    },
  };
}

function auditPlace({ id, number, name, digest, jobId, accountId, interventionId }: Credential) {
  return {
    chain: `intervention:${interventionId}`,
    accountId,
    content: { credential: id, number, name, digest, job: jobId },
  };
}

function requireSealed(signed: SignedCredential, sealed: Uint8Array): void {
  if (sealed.length > GIVEN_SECRET_MAX_BYTES) {
    throw new DomainError(
      'invalid',
      'secret_too_large',
      'The sealed secret is larger than 12 KiB.',
    );
  }
  if (sealedDigest(sealed) === signed.sealed) return;
  throw new DomainError('invalid', 'sealed_mismatch', 'What is sealed is not what was signed.');
}

/** Turns away what the agent would refuse for certain, so that the client hears it while they are there. */
function requireGrant(
  signed: SignedCredential,
  accountId: string,
  grant: StoredGrant | null,
): StoredGrant {
  if (signed.account !== accountId) {
    throw new DomainError('invalid', 'account_mismatch', 'It was signed for another account.');
  }
  if (grant?.accountId !== accountId || grant.kind !== 'grant') {
    throw new DomainError('not_found', 'grant_not_found', `There is no grant ${signed.grant}.`);
  }
  const name = `G-${grant.number}`;
  if (grant.state === 'expired' || grant.state === 'revoked') {
    throw new DomainError(
      'conflict',
      `grant_${grant.state}`,
      `${name} is ${grant.state === 'expired' ? 'over' : 'taken back'}: nothing can be given under it.`,
      { next: [{ label: 'Permit it anew', command: 'intervene authorize SERVER --ticket T' }] },
    );
  }
  if (!grant.servers.some(({ id }) => id === signed.server)) {
    throw new DomainError(
      'conflict',
      'grant_server_not_covered',
      `${name} is not for this server.`,
    );
  }
  const isAllowed = grant.content.actions.some(({ pattern }) =>
    matchesAction(pattern, signed.action),
  );
  if (!isAllowed) {
    throw new DomainError(
      'conflict',
      'grant_action_not_covered',
      `${name} does not allow ${signed.action}.`,
    );
  }
  const action = findAction(signed.action);
  if (action === undefined || !secretsOf(action).includes(signed.input)) {
    throw new DomainError(
      'invalid',
      'input_unknown',
      `${signed.action} takes no secret "${signed.input}".`,
      {
        next: [{ label: 'See what it takes', command: shell`intervene actions ${signed.action}` }],
      },
    );
  }
  return grant;
}

async function requireAgent(queries: Queries, signed: SignedCredential): Promise<void> {
  if ((await currentAgentKey(queries, signed.server)) === signed.agentKey) return;
  throw new DomainError(
    'conflict',
    'agent_changed',
    'It was sealed to another agent than the one the server has now.',
    { next: [{ label: 'Give it again', command: 'intervene credentials give SERVER' }] },
  );
}

function openedBefore({ number, openedBy, openedAt }: Credential): DomainError {
  return new DomainError(
    'conflict',
    'credential_opened',
    `C-${number} was opened by ${openedBy ?? 'somebody'} at ${openedAt?.toISOString() ?? 'some time'}; it is not kept any more.`,
    { next: [{ label: 'Who knows it', command: 'intervene credentials list' }] },
  );
}
