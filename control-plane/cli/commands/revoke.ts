import { shell } from '../../../proto/documents/command-text.ts';
import type { GrantBody } from '../api/bodies.ts';
import { reference } from '../api/api-client.ts';
import { CliError, UnreachableError } from '../cli-error.ts';
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
  const grant = await api.get<GrantBody>(path).catch(withoutControlPlane);
  const afterStep = options.afterStep === true;
  if (grant.state === 'revoked') {
    if (terminal.json) terminal.printJson(grant);
    else terminal.say(`G-${grant.number} was taken back already; nothing runs under it.`);
    return exitStatus.succeeded;
  }
  // Without a terminal nobody is asked: stopping must never fail for want of an answer.
  if (!options.yes && context.prompt.isPossible) {
    const what = afterStep
      ? 'What runs under it stops after its step.'
      : 'What runs under it is stopped.';
    const undo = 'Engineers can still undo what they changed under it, and nothing else.';
    const question = `Take back G-${grant.number} on ${grant.servers.map((server) => server.name).join(', ')}? ${what} ${undo}`;
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
  const signed = await signRevocation(context, grant, { afterStep, reason: options.reason ?? '' });
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

/** The agent needs no control plane to be stopped; a client who wants that now is told how. */
function withoutControlPlane(error: unknown): never {
  if (!(error instanceof UnreachableError)) throw error;
  throw new CliError({
    code: error.code,
    happened: error.message,
    safe: 'The permission was not taken back. Jobs that run go on by themselves.',
    next: [
      {
        label: 'root on the server stops everything within a second',
        command: 'intervene-agent lock',
        byOther: true,
      },
      ...error.next,
    ],
    exitStatus: error.exitStatus,
    cause: error,
  });
}

/** `G-311`, `311`, an id, or the end of one. */
export function grantReference(named: string): string {
  return reference(named.replace(/^[Gg]-(?=\d+$)/, ''));
}

/**
 * Sends the client's signature on a revocation after it, where a key of the account opens; returns whether it did.
 *
 * @param revoked a grant, or a secret that was given
 */
export async function signRevocation(
  context: CommandContext,
  revoked: { id: string; accountId: string },
  said: { afterStep: boolean; reason: string },
): Promise<boolean> {
  if (context.profile.require().person.role !== 'client') return false;
  const keys = await context.keys();
  const name = (await findAccountKey(context, revoked.accountId))?.name;
  if (name === undefined || !(keys.opensUnattended(name) || context.prompt.isPossible))
    return false;
  const [{ signDocument }, signer] = [
    await import('../../../proto/documents/document.ts'),
    await keys.open(name),
  ];
  const envelope = signDocument(
    'revoke',
    { grants: [revoked.id], keys: [], issuedAt: context.nowSeconds(), ...said },
    [signer],
  );
  const api = await context.api();
  await api.post('/api/v1/revocations', { envelope: Buffer.from(envelope).toString('base64') });
  return true;
}
