import type { AccountsService } from '../accounts/accounts-service.ts';
import { scopeOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { listChain, listNewest } from './audit-store.ts';
import type { AuditPosition, AuditRow } from './audit-store.ts';

export interface AuditService {
  /**
   * One chain, oldest first.
   *
   * @param chain `intervention:REF`, `account:REF` or `operator`
   */
  chain(caller: Caller, chain: string, after: number, limit: number): Promise<AuditRow[]>;
  /** What the caller may see of all chains, newest first. */
  newest(caller: Caller, before: AuditPosition | null, limit: number): Promise<AuditRow[]>;
}

export interface AuditDependencies {
  accounts: Pick<AccountsService, 'resolveAccount'>;
  interventions: { resolve(caller: Caller, reference: string): Promise<{ id: string }> };
}

function mayReadOperator({ role }: Caller): boolean {
  return role === 'admin' || role === 'auditor';
}

export function createAuditService(
  database: Database,
  { accounts, interventions }: AuditDependencies,
): AuditService {
  async function fullName(caller: Caller, chain: string): Promise<string> {
    const [kind, ...rest] = chain.split(':');
    const reference = rest.join(':');
    if (kind === 'operator' && mayReadOperator(caller)) return 'operator';
    if (kind === 'account') {
      return `account:${(await accounts.resolveAccount(caller, reference)).id}`;
    }
    if (kind === 'intervention') {
      return `intervention:${(await interventions.resolve(caller, reference)).id}`;
    }
    throw new DomainError('not_found', 'chain_not_found', `There is no chain "${chain}".`);
  }

  return {
    chain: async (caller, chain, after, limit) =>
      listChain(database, scopeOf(caller), await fullName(caller, chain), after, limit),
    newest: (caller, before, limit) => listNewest(database, scopeOf(caller), before, limit),
  };
}
