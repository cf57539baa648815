import { harmless } from './harmless-text.ts';
import type { Grant } from './kinds/grant.ts';

const SOME = 3;
const NAME_MAX = 64;

/**
 * A grant or an attestation in words by which people know it, within a sentence:
 * `the permission for T-4711 (filesystem.* on web-04, until 2026-11-30T14:00:00Z; its id)`
 */
export function authorizationName({
  id,
  ticket,
  actions,
  servers,
  expiresAt,
}: Pick<Grant, 'id' | 'ticket' | 'actions' | 'servers' | 'expiresAt'>): string {
  const what = someOf(actions.map(({ pattern }) => pattern));
  const where = someOf(servers.map(({ name }) => name));
  const until = new Date(expiresAt * 1000).toISOString().replace('.000', '');
  return harmless(`the permission for ${ticket} (${what} on ${where}, until ${until}; ${id})`);
}

/** A refusal has room for so many. */
function someOf(names: readonly string[]): string {
  const some = names.slice(0, SOME).map((name) => name.slice(0, NAME_MAX));
  const more = names.length - some.length;
  return `${some.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}
