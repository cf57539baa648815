import { randomUUID } from 'node:crypto';
import { appendAudit } from '../audit/audit.ts';
import { readCertifications } from '../authorizations/certifications.ts';
import { handOverJobsOf } from '../authorizations/engineer-removal.ts';
import type { Database, Queries } from '../database/database.ts';
import { pickReferenced } from '../database/reference.ts';
import { DomainError } from '../domain-error.ts';
import { accountCandidates, insertAccount, listAccounts } from './account-store.ts';
import type { Account } from './account-store.ts';
import { actorOf, scopeOf } from './caller.ts';
import type { Caller } from './caller.ts';
import {
  findPerson,
  insertPerson,
  listPeople,
  lockOtherAdmins,
  personCandidates,
  removePerson,
} from './person-store.ts';
import type { Person } from './person-store.ts';
import {
  findCaller,
  insertToken,
  listTokens,
  revokeToken,
  revokeTokensOf,
  useInvitation,
} from './token-store.ts';
import type { Token } from './token-store.ts';
import { createToken, hashToken } from './token.ts';

export const INVITATION_LIFETIME_MS = 7 * 24 * 3600_000;

export interface Invitation {
  person: Person;
  invitation: string;
  expiresAt: Date;
}

export interface NewToken extends Token {
  token: string;
  person: Person;
}

export interface NewPerson {
  name: string;
  role: Caller['role'];
  /** Required for clients, and only for them. */
  account?: string | undefined;
}

export interface Page {
  after: string | null;
  limit: number;
}

/** Accounts, the people in them and of the provider, and the tokens they show. */
export interface AccountsService {
  /** Who holds the token; undefined when it is not valid. */
  authenticate(token: string): Promise<Caller | undefined>;
  whoAmI(caller: Caller): Promise<Person>;
  /** The account a caller means. Throws `account_not_found` for what they may not see. */
  resolveAccount(caller: Caller, reference: string): Promise<Account>;
  createAccount(caller: Caller, name: string): Promise<Account>;
  listAccounts(caller: Caller, page: Page): Promise<Account[]>;
  invite(caller: Caller, person: NewPerson): Promise<Invitation>;
  listPeople(caller: Caller, page: Page): Promise<Person[]>;
  /** Ends the person's tokens with them. Throws `last_admin`. */
  removePerson(caller: Caller, reference: string): Promise<void>;
  /** Turns an invitation into an API token, once. Throws `invitation_invalid`, without saying why. */
  redeem(invitation: string, label: string): Promise<NewToken>;
  createToken(caller: Caller, label: string): Promise<NewToken>;
  listTokens(caller: Caller): Promise<Token[]>;
  revokeToken(caller: Caller, id: string): Promise<void>;
}

export function createAccountsService(database: Database): AccountsService {
  const service: AccountsService = {
    authenticate: async (token) => {
      const hash = hashToken('api', token);
      return hash && findCaller(database, hash);
    },

    whoAmI: async (caller) => (await findPerson(database, caller.personId))!,

    resolveAccount: async (caller, reference) =>
      pickReferenced(
        await accountCandidates(database, scopeOf(caller), reference),
        reference,
        'account',
      ),

    createAccount: (caller, name) =>
      database.transaction(async (queries) => {
        const account = await insertAccount(queries, { id: randomUUID(), name });
        if (account === null) throw nameTaken('account', name);
        await appendAudit(queries, {
          chain: `account:${account.id}`,
          actor: actorOf(caller),
          kind: 'account.created',
          accountId: account.id,
          content: { account: account.id, name },
        });
        return account;
      }),

    listAccounts: (caller, page) => listAccounts(database, scopeOf(caller), page.after, page.limit),

    invite: async (caller, wanted) => {
      const accountId = await accountOfNewPerson(caller, wanted);
      const { name, role } = wanted;
      return database.transaction(async (queries) => {
        const person = await insertPerson(queries, { id: randomUUID(), name, role, accountId });
        if (person === null) throw nameTaken('person', name);
        const invitation = createToken('invitation');
        const expiresAt = new Date(Date.now() + INVITATION_LIFETIME_MS);
        await insertToken(queries, {
          id: randomUUID(),
          personId: person.id,
          kind: 'invitation',
          hash: hashToken('invitation', invitation)!,
          label: 'invitation',
          expiresAt,
        });
        await auditPerson(queries, actorOf(caller), 'person.invited', person);
        return { person, invitation, expiresAt };
      });
    },

    listPeople: (caller, page) => listPeople(database, scopeOf(caller), page.after, page.limit),

    removePerson: async (caller, reference) => {
      const person = pickReferenced(
        await personCandidates(database, reference),
        reference,
        'person',
      );
      await database.transaction(async (queries) => {
        if (person.role === 'admin' && (await lockOtherAdmins(queries, person.id)) === 0) {
          throw new DomainError(
            'conflict',
            'last_admin',
            `${person.name} is the only admin left.`,
            {
              next: [
                { label: 'Invite another', command: 'intervene people invite NAME --role admin' },
              ],
            },
          );
        }
        if (!(await removePerson(queries, person.id))) return;
        await revokeTokensOf(queries, person.id);
        await auditPerson(queries, actorOf(caller), 'person.removed', person);
        const certifications = await readCertifications(queries);
        await handOverJobsOf(queries, [person.id], certifications, caller);
      });
    },

    redeem: async (invitation, label) => {
      const hash = hashToken('invitation', invitation);
      if (hash === undefined) throw invitationInvalid();
      return database.transaction(async (queries) => {
        const personId = await useInvitation(queries, hash);
        if (personId === null) throw invitationInvalid();
        const person = (await findPerson(queries, personId))!;
        await auditPerson(queries, `person:${personId}`, 'invitation.redeemed', person);
        return newApiToken(queries, person, label);
      });
    },

    createToken: (caller, label) =>
      database.transaction(async (queries) =>
        newApiToken(queries, (await findPerson(queries, caller.personId))!, label),
      ),

    listTokens: (caller) => listTokens(database, caller.personId),

    revokeToken: (caller, id) =>
      database.transaction(async (queries) => {
        if (!(await revokeToken(queries, caller.personId, id))) {
          throw new DomainError('not_found', 'token_not_found', `You have no token ${id}.`);
        }
        const person = (await findPerson(queries, caller.personId))!;
        await auditPerson(queries, actorOf(caller), 'token.revoked', person, { token: id });
      }),
  };
  return service;

  async function accountOfNewPerson(caller: Caller, wanted: NewPerson): Promise<string | null> {
    if (wanted.role !== 'client') {
      if (wanted.account === undefined) return null;
      throw new DomainError(
        'invalid',
        'account_not_wanted',
        'Only clients belong to an account; engineers and admins are people of the provider.',
      );
    }
    if (wanted.account === undefined) {
      throw new DomainError('invalid', 'account_missing', 'A client belongs to an account.', {
        next: [{ label: 'See the accounts', command: 'intervene accounts list' }],
      });
    }
    return (await service.resolveAccount(caller, wanted.account)).id;
  }
}

/** Also what a first start uses, before there is anybody to ask for it. */
export async function newApiToken(
  queries: Queries,
  person: Person,
  label: string,
): Promise<NewToken> {
  const token = createToken('api');
  const stored = await insertToken(queries, {
    id: randomUUID(),
    personId: person.id,
    kind: 'api',
    hash: hashToken('api', token)!,
    label,
    expiresAt: null,
  });
  await auditPerson(queries, `person:${person.id}`, 'token.created', person, { token: stored.id });
  return { ...stored, token, person };
}

/** Clients stand in their account's chain, people of the provider in the operator's. */
export async function auditPerson(
  queries: Queries,
  actor: string,
  kind: string,
  person: Person,
  more: Record<string, unknown> = {},
): Promise<void> {
  await appendAudit(queries, {
    chain: person.accountId === null ? 'operator' : `account:${person.accountId}`,
    actor,
    kind,
    accountId: person.accountId,
    content: { person: person.id, name: person.name, role: person.role, ...more },
  });
}

function nameTaken(kind: 'account' | 'person', name: string): DomainError {
  const whose = kind === 'account' ? 'An account' : 'A person';
  return new DomainError('conflict', `${kind}_name_taken`, `${whose} is called "${name}" already.`);
}

function invitationInvalid(): DomainError {
  return new DomainError('forbidden', 'invitation_invalid', 'The invitation is not valid.', {
    safe: 'Nothing was changed. An invitation works once, for seven days.',
    next: [{ label: 'Ask an admin for another', command: 'intervene people invite NAME' }],
  });
}
