import { actions } from '../../../proto/actions/catalogue.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { signDocument } from '../../../proto/documents/document.ts';
import type { GrantBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText } from '../named-file.ts';
import { requireCertified } from '../orders/prepare-order.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatClock } from '../output/time-text.ts';
import { fetchCertifications } from '../trust/certifications.ts';
import { consentText } from '../trust/consent-text.ts';
import { newTerms } from './authorize.ts';
import type { AuthorizeOptions } from './authorize.ts';
import { findServer } from './servers.ts';

export interface AttestOptions extends AuthorizeOptions {
  wordsFile?: string;
  why?: string;
}

const WORDS_MAX = 8192;

/**
 * `intervene attest SERVER --ticket T`: an engineer records the client's written permission on the ticket. It
 * counts on servers in rescue alone, and never for orders that the same engineer signs.
 */
export async function attest(
  context: CommandContext,
  servers: string[],
  options: AttestOptions,
): Promise<void> {
  const { terminal, surroundings } = context;
  const { wordsFile, why } = options;
  if (wordsFile === undefined || why === undefined) {
    throw usageError("An attestation needs the ticket's words and why the client did not sign.", [
      {
        label: '',
        command: shell`intervene attest ${servers[0] ?? 'SERVER'} --ticket T --actions 'filesystem.*' --words-file FILE --why 'has no keys yet'`,
      },
    ]);
  }
  const ticketWords = readNamedText(wordsFile).trim();
  if (ticketWords === '' || ticketWords.length > WORDS_MAX) {
    throw usageError(`The ticket's words are ${ticketWords === '' ? 'empty' : 'over 8 KiB'}.`);
  }
  const api = await context.api();
  for (const name of servers) requireNotResident(await findServer(api, name));
  const keys = await context.keys();
  const keyName = options.key ?? 'engineer';
  requireCertified(context, keys.publicPart(keyName)?.key, await fetchCertifications(api), keyName);
  const terms = await newTerms(context, servers, options);
  const shownText = consentText(terms, actions, surroundings.timeZone);
  for (const line of shownText.trimEnd().split('\n')) terminal.say(line);
  terminal.say('');
  terminal.say(styled('bold', `The client wrote on ${terms.ticket}:`));
  for (const line of ticketWords.split('\n')) terminal.say(`  ${line}`);
  terminal.say(`Not signed by the client, because: ${why}`);
  if (!options.yes) {
    const question = ['Do you attest that the client wrote this, and owns the server?'];
    if (!(await context.prompt.confirm(question, '--yes'))) {
      throw new CliError({
        code: 'not_signed',
        happened: 'You did not sign; nobody was given any permission.',
        exitStatus: exitStatus.stopped,
      });
    }
  }
  const envelope = signDocument(
    'attestation',
    { ...terms, shownText, ticketWords, whyNotSigned: why },
    [await keys.open(keyName)],
  );
  const attestation = await api.post<GrantBody>('/api/v1/grants', {
    envelope: Buffer.from(envelope).toString('base64'),
  });
  if (terminal.json) {
    terminal.printJson(attestation);
    return;
  }
  terminal.printName(`G-${attestation.number}`);
  const until = formatClock(terms.expiresAt * 1000, surroundings.timeZone);
  terminal.say(glyph('ok', '✓'), `G-${attestation.number} attested, valid until ${until}.`);
  terminal.say('Another engineer orders under it; class C needs two of them.');
  terminal.sayNext(`${shell`intervene run ${servers[0] ?? 'SERVER'}`} ACTION`, {
    who: 'somebody else',
  });
}

function requireNotResident(server: { name: string; agent: { mode: string } | null }): void {
  if (server.agent?.mode !== 'resident') return;
  throw new CliError({
    code: 'attestation_not_allowed',
    happened: `${server.name} is opted in: only its owner permits work on it.`,
    safe: 'Nobody was given any permission.',
    next: [
      { label: 'the client signs', command: shell`intervene authorize ${server.name} --ticket T` },
    ],
    exitStatus: exitStatus.refused,
  });
}
