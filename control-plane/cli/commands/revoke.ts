import { shell } from '../../../proto/documents/command-text.ts';
import type { GrantBody } from '../api/bodies.ts';
import { reference } from '../api/api-client.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { glyph } from '../output/terminal.ts';
import { findAccountKey } from '../trust/own-account-key.ts';

/**
 * `intervene revoke GRANT`: takes a permission back. It goes out unsigned first, because agents obey that at
 * once and nothing may stand in its way; then signed too, where a key opens without asking or at a terminal.
 */
export async function revoke(
  context: CommandContext,
  [named = '']: string[],
  options: { afterStep?: boolean; reason?: string; yes?: boolean },
): Promise<number> {
  const { terminal } = context;
  const api = await context.api();
  const path = `/api/v1/grants/${grantReference(named)}`;
  const grant = await api.get<GrantBody>(path);
  const afterStep = options.afterStep === true;
  // Without a terminal nobody is asked: stopping must never fail for want of an answer.
  if (!options.yes && context.prompt.isPossible) {
    const what = afterStep
      ? 'What runs under it stops after its step.'
      : 'What runs under it is stopped.';
    const question = `Take back G-${grant.number} on ${grant.servers.map((server) => server.name).join(', ')}? ${what}`;
    if (!(await context.prompt.confirm([question], '--yes'))) return exitStatus.stopped;
  }
  await api.post('/api/v1/revocations', { grant: grant.id, afterStep });
  if (!terminal.json) {
    terminal.say(
      glyph('ok', '✓'),
      `G-${grant.number} is taken back. `,
      afterStep ? 'A step that runs ends first.' : 'What runs under it is stopped.',
    );
  }
  const signed = await signRevocation(context, grant, afterStep, options.reason ?? '');
  if (terminal.json) {
    terminal.printJson(await api.get<GrantBody>(path));
    return exitStatus.succeeded;
  }
  terminal.say(
    signed
      ? 'Your signature went with it: the agent can prove who asked.'
      : 'Not signed: no key of the account opens here. Agents obey it all the same.',
  );
  terminal.sayNext(shell`intervene jobs list --server ${grant.servers[0]?.name ?? 'SERVER'}`);
  return exitStatus.succeeded;
}

/** `G-311`, `311`, an id, or the end of one. */
export function grantReference(named: string): string {
  return reference(named.replace(/^[Gg]-(?=\d+$)/, ''));
}

async function signRevocation(
  context: CommandContext,
  grant: GrantBody,
  afterStep: boolean,
  reason: string,
): Promise<boolean> {
  if (context.profile.require().person.role !== 'client') return false;
  const keys = await context.keys();
  const name = (await findAccountKey(context, grant.accountId))?.name;
  if (name === undefined || !(keys.opensUnattended(name) || context.prompt.isPossible))
    return false;
  const [{ signDocument }, signer] = [
    await import('../../../proto/documents/document.ts'),
    await keys.open(name),
  ];
  const envelope = signDocument(
    'revoke',
    { grants: [grant.id], keys: [], issuedAt: context.nowSeconds(), reason, afterStep },
    [signer],
  );
  const api = await context.api();
  await api.post('/api/v1/revocations', { envelope: Buffer.from(envelope).toString('base64') });
  return true;
}
