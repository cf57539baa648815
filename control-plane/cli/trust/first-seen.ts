import { reference } from '../api/api-client.ts';
import type { DocumentBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';

/**
 * Remembers the operator root and, for clients, the account's keys, the first time the control plane shows
 * them; from then on another first document is refused. What was pinned before stays.
 */
export async function pinFirstSeen(context: CommandContext): Promise<void> {
  const api = await context.api();
  const { rootDigest, accountKeysDigest, person } = context.profile.require();
  const first = async (path: string): Promise<string | null> =>
    (await api.list<DocumentBody>(path))[0]?.digest ?? null;
  const keysPath =
    person.role === 'client' && person.accountId !== null
      ? `/api/v1/accounts/${reference(person.accountId)}/keys`
      : null;
  context.profile.update({
    rootDigest: rootDigest ?? (await first('/api/v1/trust/root')),
    accountKeysDigest: accountKeysDigest ?? (keysPath === null ? null : await first(keysPath)),
  });
}
