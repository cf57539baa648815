import { randomUUID } from 'node:crypto';
import { shell } from '../../../proto/documents/command-text.ts';
import { actions } from '../../../proto/actions/catalogue.ts';
import { readUnverified } from '../../../proto/documents/document.ts';
import { GRANT_DEFAULT_SECONDS, GRANT_MAX_SECONDS } from '../../../proto/documents/kinds/grant.ts';
import { ageRecipient, fingerprint } from '../../../proto/documents/fields.ts';
import type { ActionClass } from '../../../proto/documents/fields.ts';
import type { Grant } from '../../../proto/documents/kinds/grant.ts';
import type { GrantBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText } from '../named-file.ts';
import { requireTicket } from '../orders/ticket.ts';
import { formatDuration, parseDuration } from '../output/time-text.ts';
import { glyph } from '../output/terminal.ts';
import type { GrantTerms } from '../trust/consent-text.ts';
import { allowedActions, highestClassOf } from '../trust/grant-limits.ts';
import { signGrant } from '../trust/sign-grant.ts';
import { grantReference } from './revoke.ts';
import { findServer } from './servers.ts';

export interface AuthorizeOptions {
  ticket?: string;
  actions?: string[];
  for?: string;
  highestClass?: ActionClass;
  limit?: string[];
  engineer?: string[];
  classCEngineers?: number;
  acceptNoUndo?: boolean;
  sshKeyFile?: string;
  ageRecipient?: string;
  /** False: nobody gets any. */
  credentials?: boolean;
  backup?: Grant['backupExists'];
  interruption?: 'yes' | 'no';
  extend?: string;
  key?: string;
  yes?: boolean;
}

/** Two clocks differ; a grant is valid from a little before it was signed. */
const SKEW_SECONDS = 60;
/** As the grant's schema. */
const ENGINEERS_MOST = 32;

/** `intervene authorize`: the client permits; `--extend GRANT` permits the same again, for longer. */
export async function authorize(
  context: CommandContext,
  servers: string[],
  options: AuthorizeOptions,
): Promise<void> {
  requireClient(context);
  const terms =
    options.extend === undefined
      ? await newTerms(context, servers, options)
      : await extendedTerms(context, servers, options, options.extend);
  await signGrant(context, terms, options);
}

function requireClient(context: CommandContext): void {
  const { role } = context.profile.require().person;
  if (role === 'client') return;
  throw new CliError({
    code: 'not_a_client',
    happened: `You are logged in with the role ${role}; only the client permits work on a server.`,
    safe: 'Nobody was given any permission.',
    next: [{ label: 'see who you are here', command: 'intervene whoami' }],
    exitStatus: exitStatus.refused,
  });
}

/** What is permitted, as flags and answers say it. */
export async function newTerms(
  context: CommandContext,
  named: string[],
  options: AuthorizeOptions,
): Promise<GrantTerms> {
  const patterns = (options.actions ?? []).flatMap((list) => list.split(',')).filter(Boolean);
  if (named.length === 0 || options.ticket === undefined || patterns.length === 0) {
    throw usageError('A permission needs a server, --ticket and --actions.', [
      {
        label: '',
        command: shell`intervene authorize ${named[0] ?? 'SERVER'} --ticket T --actions 'filesystem.*' --for 4h`,
      },
    ]);
  }
  const ticket = requireTicket(options.ticket);
  const engineers = validEngineers(options);
  const allowed = allowedActions(patterns, options.limit ?? [], actions);
  const seconds = validSeconds(options.for);
  const api = await context.api();
  const servers = await Promise.all(named.map((name) => findServer(api, name)));
  const accounts = new Set(servers.map((server) => server.accountId));
  const [account] = accounts;
  if (account === undefined || accounts.size > 1) {
    throw usageError('The servers belong to several accounts; each account permits for its own.');
  }
  const bare = servers.filter((server) => server.agent === null);
  for (const { name } of bare) {
    context.terminal.say(
      glyph('warn', '!'),
      `${name} has no agent yet: nothing can be done there before it is enrolled.`,
    );
  }
  const credentialRecipient = await recipientOf(context, options);
  const backupExists: Grant['backupExists'] =
    options.backup ??
    (await context.prompt.choose<Grant['backupExists']>(
      'Is there a backup?',
      ['yes', 'no', 'unsure'],
      '--backup yes|no|unsure',
    ));
  const interruption =
    options.interruption ??
    (await context.prompt.choose(
      'May the server be offline meanwhile?',
      ['yes', 'no'],
      '--interruption yes|no',
    ));
  const now = context.nowSeconds();
  return {
    id: randomUUID(),
    account,
    ticket,
    servers: servers.map((server) => ({ id: server.id, name: server.name })),
    actions: allowed,
    highestClass: options.highestClass ?? highestClassOf(patterns, actions),
    ...engineers,
    acceptsStepsWithoutUndo: options.acceptNoUndo === true,
    ...windowFrom(now, seconds),
    extends: null,
    credentialRecipient,
    backupExists,
    interruptionAccepted: interruption === 'yes',
  };
}

async function extendedTerms(
  context: CommandContext,
  servers: string[],
  options: AuthorizeOptions,
  named: string,
): Promise<GrantTerms> {
  const changed = [options.actions, options.limit, options.ticket, options.highestClass];
  if (servers.length > 0 || changed.some((value) => value !== undefined)) {
    throw usageError('--extend permits the same again; to permit something else, authorize anew.');
  }
  const seconds = validSeconds(options.for);
  const now = context.nowSeconds();
  const api = await context.api();
  const body = await api.get<GrantBody>(`/api/v1/grants/${grantReference(named)}`);
  if (body.state === 'revoked') {
    throw usageError(`G-${body.number} was taken back; authorize anew.`, [], 'grant_revoked');
  }
  const { shownText: _, ...before } = readUnverified(
    'grant',
    Buffer.from(body.envelope, 'base64'),
  ).payload;
  return {
    ...before,
    id: randomUUID(),
    extends: before.id,
    ...longerWindow(before.expiresAt, now, seconds, options.for),
  };
}

/** From the end of the one that is extended, so that a permission never ends earlier for it. */
function longerWindow(
  end: number,
  now: number,
  seconds: number,
  asked: string | undefined,
): ReturnType<typeof windowFrom> {
  const left = Math.max(0, end - now);
  if (left + seconds > GRANT_MAX_SECONDS) {
    throw usageError(
      `--for ${asked ?? '4h'} longer would be over 24 hours from now; ${formatDuration(left * 1000)} are left.`,
    );
  }
  return windowFrom(now, left + seconds);
}

function windowFrom(now: number, seconds: number): { notBefore: number; expiresAt: number } {
  const notBefore = now - SKEW_SECONDS;
  return { notBefore, expiresAt: Math.min(now + seconds, notBefore + GRANT_MAX_SECONDS) };
}

function validSeconds(text: string | undefined): number {
  if (text === undefined) return GRANT_DEFAULT_SECONDS;
  const seconds = parseDuration(text);
  if (seconds === null || seconds > GRANT_MAX_SECONDS) {
    throw usageError(`--for ${text}: a time such as 30m or 4h, 24h at most.`);
  }
  return seconds;
}

function validEngineers({ engineer = [], classCEngineers = 1 }: AuthorizeOptions) {
  const wrong = engineer.find((key) => !fingerprint.safeParse(key).success);
  if (wrong !== undefined) {
    throw usageError(
      `--engineer ${wrong} is no fingerprint: SHA256: and 43 characters.`,
      [{ label: 'see their keys', command: 'intervene engineers list' }],
      'fingerprint_invalid',
    );
  }
  if (engineer.length > ENGINEERS_MOST) {
    throw usageError(`--engineer: ${ENGINEERS_MOST} keys at most, not ${engineer.length}.`);
  }
  if (classCEngineers < 1 || classCEngineers > 4) {
    throw usageError(`--class-c-engineers ${classCEngineers}: 1 to 4.`);
  }
  return {
    engineers: engineer.length === 0 ? null : engineer,
    engineersForClassC: classCEngineers,
  };
}

/** A client's own key, unless they say otherwise. */
async function recipientOf(
  context: CommandContext,
  options: AuthorizeOptions,
): Promise<Grant['credentialRecipient']> {
  const { sshKeyFile, ageRecipient: named, credentials = true } = options;
  if ([sshKeyFile !== undefined, named !== undefined, !credentials].filter(Boolean).length > 1) {
    throw usageError('Of --ssh-key-file, --age-recipient and --no-credentials, one at most.');
  }
  if (!credentials) return null;
  if (named !== undefined) {
    if (ageRecipient.safeParse(named).success) return { type: 'age', recipient: named };
    throw usageError(`${named} is no age recipient (age1…).`);
  }
  if (sshKeyFile === undefined) {
    const isClient = context.profile.require().person.role === 'client';
    const own = isClient ? (await context.keys()).credentialKey.recipient() : null;
    return own === null ? null : { type: 'age', recipient: own };
  }
  const publicKey = readNamedText(sshKeyFile).trim();
  if (!/^(?:ssh|ecdsa|sk)-[\w@.-]+ [A-Za-z0-9+/=]+(?: [^\n]*)?$/.test(publicKey)) {
    throw usageError(`${sshKeyFile} is not one public SSH key, as in a file id_….pub.`);
  }
  return { type: 'ssh', publicKey };
}
