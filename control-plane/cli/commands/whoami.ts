import type { CommandContext } from '../command-context.ts';
import type { PersonBody } from '../api/bodies.ts';
import { printFacts } from '../output/table.ts';

/** `intervene whoami`: who the control plane takes this profile for. */
export async function whoami(context: CommandContext): Promise<void> {
  const { terminal, profile } = context;
  const api = await context.api();
  const person = await api.get<PersonBody>('/api/v1/whoami');
  if (terminal.json) {
    terminal.printJson(person);
    return;
  }
  const data = profile.require();
  printFacts(terminal, [
    ['name', person.name],
    ['role', person.role],
    ['id', person.id],
    ...(person.accountId === null ? [] : [['account', person.accountId] as const]),
    ['control plane', data.url],
    ['profile', `${profile.name} (${profile.folder})`],
    ['operator root', data.rootDigest ?? 'not pinned'],
    ...(person.role === 'client'
      ? [['account keys', data.accountKeysDigest ?? 'not pinned'] as const]
      : []),
  ]);
}
