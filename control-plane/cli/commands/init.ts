import { shell } from '../../../proto/documents/command-text.ts';
import { digestOf, signDocument } from '../../../proto/documents/document.ts';
import { followRootChain } from '../../../proto/documents/chain.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import type { Signer } from '../../../proto/documents/keys.ts';
import { ENGINEER_DEFAULT_SECONDS } from '../../../proto/documents/kinds/certification.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { DocumentBody, InvitationBody, NewTokenBody, PersonBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText } from '../named-file.ts';
import { ownCommand } from '../output/own-command.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { KeyStore } from '../profile/key-store.ts';
import { Profile, refuseDataFolder } from '../profile/profile.ts';
import type { ProfileData } from '../profile/profile.ts';
import { checkUrl } from './login.ts';
import { issueEngineer, issueLead } from '../trust/issue-certification.ts';

export interface InitOptions {
  adminProfile?: string;
  adminTokenFile?: string;
  /** Name of the lead, when nobody has logged in under this profile yet. */
  engineer?: string;
  passphrase?: boolean;
}

/** Options, and what the file among them holds. */
type Chosen = InitOptions & { adminToken?: string };

/**
 * `intervene init`: the operator's root of trust, and this person as first lead and engineer. Run on the
 * lead's own machine; whatever was done before an error stays, and running it again goes on from there.
 */
export async function init(
  context: CommandContext,
  [url]: string[],
  given: InitOptions,
): Promise<void> {
  const { profile } = context;
  refuseDataFolder(profile.folder);
  const options = withAdminToken(given);
  if (profile.read() !== null) return certify(context, options);
  await becomeLead(context, url, options);
  try {
    await certify(context, options);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    throw new CliError({
      code: error.code,
      happened: error.message,
      safe: `${options.engineer ?? 'The lead'} was made and logged in here; running init again goes on from there.`,
      next: error.next,
      exitStatus: error.exitStatus,
      cause: error,
    });
  }
}

/** Read once, before anything is made. */
function withAdminToken(options: InitOptions): Chosen {
  if (options.adminTokenFile === undefined) return options;
  return { ...options, adminToken: readNamedText(options.adminTokenFile).trim() };
}

async function certify(context: CommandContext, options: Chosen): Promise<void> {
  const { terminal, profile } = context;
  const api = await context.api();
  const person = await api.get<PersonBody>('/api/v1/whoami');
  if (person.role !== 'engineer' && person.role !== 'lead') throw notAnEngineer(person, profile);
  const keys = await context.keys();
  const known = await api.list<DocumentBody>('/api/v1/trust/root');
  refuseForeignRoot(known, keys);

  const encrypt = options.passphrase !== false;
  const owner = { person: person.id, name: person.name };
  const root = await openOrCreate(keys, 'root', owner, encrypt);
  const own = await openOrCreate(keys, 'engineer', owner, encrypt);

  const rootDigest =
    known.length > 0 ? (known[0]?.digest ?? '') : await publishRoot(context, person, root, options);
  profile.update({ rootDigest, person });
  const now = context.nowSeconds();
  const certified = { person: person.id, name: person.name, keys: [own.key] };
  for (const envelope of [
    issueLead(certified, root, now),
    issueEngineer(certified, own, now, ENGINEER_DEFAULT_SECONDS),
  ]) {
    await api.post('/api/v1/trust/certifications', { envelope: base64(envelope) });
  }
  report(context, person, rootDigest, own);
  if (!terminal.json) {
    terminal.sayNext('intervene accounts add NAME', { who: 'an administrator' });
  }
}

function report(
  context: CommandContext,
  person: PersonBody,
  rootDigest: string,
  own: Signer,
): void {
  const { terminal, profile } = context;
  if (terminal.json) {
    terminal.printJson({ rootDigest, person: person.id, key: keyFingerprint(own.key) });
    return;
  }
  terminal.printName(rootDigest);
  terminal.say(glyph('ok', '✓'), `operator root    ${rootDigest}`);
  terminal.say(glyph('ok', '✓'), `lead, 90 days    ${person.name}  ${keyFingerprint(own.key)}`);
  terminal.say(
    glyph('ok', '✓'),
    `engineer, 12 h   renew it with: ${ownCommand('intervene engineers renew', profile.name)}`,
  );
  terminal.say(
    styled('warn', 'Keep a copy of the root key where no network reaches it: '),
    `${profile.keysFolder}/root.key`,
  );
}

async function openOrCreate(
  keys: KeyStore,
  name: string,
  owner: { person: string; name: string },
  encrypt: boolean,
): Promise<Signer> {
  return keys.has(name) ? keys.open(name) : keys.create(name, owner, { encrypt });
}

async function publishRoot(
  context: CommandContext,
  person: PersonBody,
  root: Signer,
  options: Chosen,
): Promise<string> {
  const envelope = signDocument(
    'root',
    {
      version: 1,
      previous: null,
      issuedAt: context.nowSeconds(),
      threshold: 1,
      keys: [{ key: root.key, name: person.name, may: ['lead', 'engineer', 'revoke'] }],
    },
    [root],
  );
  const admin = await connectAsAdmin(context, context.profile.require(), options);
  try {
    await admin.post('/api/v1/trust/root', { envelope: base64(envelope) });
  } finally {
    admin.close();
  }
  return digestOf(envelope);
}

/** Logs this profile in as a new lead, made with an administrator's power. */
async function becomeLead(
  context: CommandContext,
  url: string | undefined,
  options: Chosen,
): Promise<void> {
  const { profile, surroundings } = context;
  const adminProfile =
    options.adminProfile === undefined
      ? null
      : new Profile(surroundings.home, options.adminProfile);
  const address = url === undefined ? adminProfile?.require().url : checkUrl(url);
  if (address === undefined || options.engineer === undefined) {
    throw usageError(
      `Nobody has logged in as profile "${profile.name}"; say where and who the lead is.`,
      [{ label: '', command: 'intervene init URL --engineer NAME --admin-token-file FILE' }],
    );
  }
  const to = { url: address, caFile: adminProfile?.read()?.caFile ?? null };
  const admin = await connectAsAdmin(context, to, options);
  try {
    // Before anybody is made: whoever cannot become a lead here leaves nothing behind.
    const known = await admin.list<DocumentBody>('/api/v1/trust/root');
    refuseForeignRoot(known, await context.keys());
    const invited = await admin.post<InvitationBody>('/api/v1/people', {
      name: options.engineer,
      role: 'lead',
    });
    const redeemed = await admin.post<NewTokenBody>('/api/v1/invitations/redeem', {
      invitation: invited.invitation,
      label: surroundings.hostName.slice(0, 100),
    });
    profile.write({ ...to, person: redeemed.person, rootDigest: null, accountKeysDigest: null });
    profile.writeToken(redeemed.token);
  } finally {
    admin.close();
  }
}

async function connectAsAdmin(
  context: CommandContext,
  to: Pick<ProfileData, 'url' | 'caFile'>,
  options: Chosen,
): Promise<ApiClient> {
  if (options.adminToken !== undefined) {
    return context.connect(to, options.adminToken);
  }
  if (options.adminProfile !== undefined) {
    const profile = new Profile(context.surroundings.home, options.adminProfile);
    profile.require();
    return context.connect(to, profile.readToken());
  }
  throw new CliError({
    code: 'needs_admin',
    happened: 'Publishing the operator root needs the log-in of an administrator.',
    safe: 'What was made stays; running init again goes on from here.',
    next: [
      { label: 'its profile on this machine', command: 'intervene init --admin-profile NAME' },
      { label: 'or its token', command: 'intervene init --admin-token-file FILE' },
    ],
    exitStatus: exitStatus.refused,
  });
}

function notAnEngineer(person: PersonBody, profile: Profile): CliError {
  return usageError(
    person.role === 'client'
      ? 'The operator root belongs to the provider; you are logged in as a client.'
      : 'Administrators and auditors order nothing; the first lead has a profile of their own.',
    person.role === 'client'
      ? []
      : [
          {
            label: '',
            command: shell`intervene init --profile lead --engineer NAME --admin-profile ${profile.name}`,
          },
        ],
  );
}

function refuseForeignRoot(known: readonly DocumentBody[], keys: KeyStore): void {
  if (known.length === 0) return;
  const own = keys.publicPart('root');
  const newest = followRootChain(
    known.map((document) => Buffer.from(document.envelope, 'base64')),
    known[0]?.digest ?? '',
  );
  if (own && newest.payload.keys.some((entry) => entry.key.public === own.key.public)) return;
  throw new CliError({
    code: 'root_exists',
    happened: 'This control plane follows an operator root already, and its key is not here.',
    next: [
      {
        label: 'a lead of it certifies you',
        command: 'intervene engineers add NAME --key-file FILE',
      },
    ],
    exitStatus: exitStatus.refused,
  });
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
