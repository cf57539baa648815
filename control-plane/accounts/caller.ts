/** Who makes a request: a person, as their token says. */
export interface Caller {
  personId: string;
  name: string;
  /**
   * - `client`: deals with their own account
   * - `engineer`: orders work
   * - `lead`: an engineer who also takes over jobs
   * - `auditor`: reads everything of the provider, changes nothing
   * - `admin`: accounts and people; orders nothing
   */
  role: 'client' | 'engineer' | 'lead' | 'auditor' | 'admin';
  /** The only account a client may see; null for people of the provider. */
  accountId: string | null;
}

/** A lead is an engineer in all that engineers may do. */
export function isEngineer(caller: Pick<Caller, 'role'>): boolean {
  return caller.role === 'engineer' || caller.role === 'lead';
}

export function actorOf(caller: Caller): string {
  return `person:${caller.personId}`;
}

/**
 * The account every query of this caller is scoped to: `($n::uuid is null or account_id = $n)`. Null for
 * people of the provider, who see all.
 */
export function scopeOf(caller: Caller): string | null {
  return caller.accountId;
}
