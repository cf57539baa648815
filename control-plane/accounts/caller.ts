/** Who makes a request: a person, as their token says. */
export interface Caller {
  personId: string;
  name: string;
  role: 'client' | 'engineer' | 'admin';
  /** The only account a client may see; null for people of the provider. */
  accountId: string | null;
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
