import { randomUUID } from 'node:crypto';
import { DISK_KEY } from '../../../proto/actions/declaration.ts';
import { commandText, shell } from '../../../proto/documents/command-text.ts';
import { signDocument } from '../../../proto/documents/document.ts';
import { GIVEN_SECRET_MAX_BYTES, sealGivenSecret } from '../../../proto/documents/given-secret.ts';
import { sealedDigest } from '../../../proto/documents/sealed-output.ts';
import type { CredentialBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { agentRecipient, rememberRecipient } from '../credentials/agent-recipient.ts';
import { findGivenScope } from '../credentials/given-scope.ts';
import { readSecretFile } from '../credentials/read-secret.ts';
import { exitStatus } from '../exit-status.ts';
import { neededWords } from '../orders/parameters.ts';
import { glyph } from '../output/terminal.ts';
import { formatClock } from '../output/time-text.ts';
import { requireAccountKey } from '../trust/own-account-key.ts';
import { requireClient } from './credentials.ts';
import { findServer } from './servers.ts';

/** As long as the grant leaves the program open. */
const PRINTABLE =
  'Whoever may order this action can have it printed: its program is theirs to choose.';

export interface GiveOptions {
  name: string;
  grant?: string;
  action?: string;
  fromFile?: string;
  recipient?: string;
  key?: string;
  yes?: boolean;
}

/**
 * `intervene credentials give SERVER --name INPUT`: the client seals a secret to the agent and signs what it is
 * for. Nobody on the way to the agent can read it, put another in its place, or use it for anything else.
 */
export async function giveCredential(
  context: CommandContext,
  [named = '']: string[],
  options: GiveOptions,
): Promise<void> {
  const { terminal, prompt, surroundings } = context;
  requireClient(context, 'Only the client gives secrets for a server.');
  const api = await context.api();
  const server = await findServer(api, named);
  const { name } = options;
  const { grant, grantDigest, action, isPrintable } = await findGivenScope(api, server, {
    name,
    grant: options.grant,
    action: options.action,
  });
  const key = await requireAccountKey(context, server.accountId, options.key, 'Nothing was given.');
  const agent = agentRecipient(context, server, options.recipient);
  const until = formatClock(Date.parse(grant.expiresAt), surroundings.timeZone);
  const use = `${name} of ${action.id} on ${server.name}, under G-${grant.number} until ${until}`;
  const secret = await readSecret(context, use, options);
  if (!options.yes && options.fromFile !== '-') {
    const reading = isPrintable ? PRINTABLE : 'They cannot read it.';
    const question = `Give it for ${use}? Engineers can use it in every order of ${action.id} until then. ${reading}`;
    if (!(await prompt.confirm([question], '--yes'))) {
      throw new CliError({
        code: 'not_signed',
        happened: 'You did not sign; nothing was given.',
        exitStatus: exitStatus.stopped,
      });
    }
  }
  const signer = await (await context.keys()).open(key.name);
  const given = {
    id: randomUUID(),
    grant: grantDigest,
    server: server.id,
    action: action.id,
    input: name,
  };
  const sealed = await sealGivenSecret(agent.ageRecipient, given, secret);
  if (sealed.length > GIVEN_SECRET_MAX_BYTES) {
    throw usageError(`The secret ${name} is too large to be sealed.`, [], 'secret_too_large');
  }
  const envelope = signDocument(
    'credential',
    {
      ...given,
      account: server.accountId,
      agentKey: agent.keyFingerprint,
      sealed: sealedDigest(sealed),
      issuedAt: context.nowSeconds(),
    },
    [signer],
  );
  const credential = await api.post<CredentialBody>('/api/v1/credentials', {
    envelope: Buffer.from(envelope).toString('base64'),
    sealed: sealed.toString('base64'),
  });
  rememberRecipient(context, agent);
  if (terminal.json) {
    terminal.printJson(credential);
    return;
  }
  terminal.printName(`C-${credential.number}`);
  terminal.say(glyph('ok', '✓'), `C-${credential.number} is given for ${use}.`);
  if (isPrintable) terminal.say(glyph('warn', '!'), PRINTABLE);
  // The key of disks is for nothing else; which of them are meant is the engineer's to say.
  const disk = name === DISK_KEY ? ['--disk', 'DISK'] : [];
  const words = ['run', server.name, action.id, ...disk, '--given', name, ...neededWords(action)];
  terminal.sayNext(commandText(['intervene', ...words]), { who: 'an engineer' });
  terminal.sayNext(shell`intervene credentials withdraw C-${credential.number}`, { label: 'Undo' });
}

async function readSecret(
  { prompt }: CommandContext,
  use: string,
  { name, fromFile, yes }: GiveOptions,
): Promise<string> {
  if (fromFile !== undefined) {
    if (fromFile === '-' && !yes) {
      throw usageError(
        'A secret from standard input leaves nobody to ask: --yes has to be said with it.',
        [],
        'needs_answer',
      );
    }
    const secret = readSecretFile(name, fromFile);
    if (secret !== '') return secret;
  } else {
    const secret = await prompt.askHidden([`The secret, ${use}: `], '--from-file FILE');
    if (secret !== '') return secret;
  }
  throw usageError('An empty secret is none.', [], 'secret_empty');
}
