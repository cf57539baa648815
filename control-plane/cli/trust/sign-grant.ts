import { actions } from '../../../proto/actions/catalogue.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { signDocument } from '../../../proto/documents/document.ts';
import { grantSchema } from '../../../proto/documents/kinds/grant.ts';
import type { GrantBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { issueSentences } from '../output/issue-sentences.ts';
import { glyph } from '../output/terminal.ts';
import { formatClock } from '../output/time-text.ts';
import { consentText } from './consent-text.ts';
import type { GrantTerms } from './consent-text.ts';
import { requireAccountKey } from './own-account-key.ts';

/** Shows the words, asks, signs exactly them, and hands the grant to the control plane. */
export async function signGrant(
  context: CommandContext,
  terms: GrantTerms,
  options: { yes?: boolean; key?: string },
): Promise<void> {
  const { terminal, prompt, surroundings } = context;
  const shownText = consentText(terms, actions, surroundings.timeZone);
  const safe = 'Nobody was given any permission.';
  const key = await requireAccountKey(context, terms.account, options.key, safe);
  const checked = grantSchema.safeParse({ ...terms, shownText });
  if (!checked.success) {
    throw usageError(`This cannot be permitted at once: ${issueSentences(checked.error) ?? ''}`);
  }
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
