import { actions } from '../../../proto/actions/catalogue.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { signDocument } from '../../../proto/documents/document.ts';
import type { GrantBody } from '../api/bodies.ts';
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { glyph } from '../output/terminal.ts';
import { formatClock } from '../output/time-text.ts';
import { consentText } from './consent-text.ts';
import type { GrantTerms } from './consent-text.ts';
import { findAccountKey } from './own-account-key.ts';

/** Shows the words, asks, signs exactly them, and hands the grant to the control plane. */
export async function signGrant(
  context: CommandContext,
  terms: GrantTerms,
  options: { yes?: boolean; key?: string },
): Promise<void> {
  const { terminal, prompt, surroundings } = context;
  const shownText = consentText(terms, actions, surroundings.timeZone);
  const key = await accountKeyName(context, terms.account, options.key);
  for (const line of shownText.trimEnd().split('\n')) terminal.say(line);
  terminal.say('');
  if (!options.yes) {
    const agreed = await prompt.confirm([`Sign with key ${key.fingerprint}?`], '--yes');
    if (!agreed) {
      throw new CliError({
        code: 'not_signed',
        happened: 'You did not sign; nobody was given any permission.',
        exitStatus: exitStatus.stopped,
      });
    }
  }
  const signer = await (await context.keys()).open(key.name);
  const envelope = signDocument('grant', { ...terms, shownText }, [signer]);
  const api = await context.api();
  const grant = await api.post<GrantBody>('/api/v1/grants', {
    envelope: Buffer.from(envelope).toString('base64'),
  });
  if (terminal.json) {
    terminal.printJson(grant);
    return;
  }
  terminal.printName(`G-${grant.number}`);
  const until = formatClock(terms.expiresAt * 1000, surroundings.timeZone);
  terminal.say(glyph('ok', '✓'), `G-${grant.number} signed, valid until ${until}.`);
  terminal.sayNext(shell`intervene revoke G-${grant.number}`, { label: 'Undo' });
}

/** A signing key of this machine that stands in the account's newest keys. */
async function accountKeyName(
  context: CommandContext,
  account: string,
  wanted: string | undefined,
): Promise<{ name: string; fingerprint: string }> {
  const own = await findAccountKey(context, account, wanted);
  if (own !== null) return own;
  throw new CliError({
    code: 'no_account_key',
    happened:
      wanted === undefined
        ? 'No key of this machine is a signing key of the account.'
        : `The key "${wanted}" is not a signing key of the account.`,
    safe: 'Nobody was given any permission.',
    next: [{ label: 'make one', command: 'intervene keys create' }],
    exitStatus: exitStatus.refused,
  });
}
