import { writeFileSync } from 'node:fs';
import { followAccountKeysChain } from '../../../proto/documents/chain.ts';
import { digestOf, readUnverified, signDocument } from '../../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../../proto/documents/document.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import type { PublicKey, Signer } from '../../../proto/documents/keys.ts';
import { reference } from '../api/api-client.ts';
import type { DocumentBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText, requireNewFile, writingNamedFile } from '../named-file.ts';
import { glyph, styled } from '../output/terminal.ts';
import { createRecoveryKey, readRecoveryKey } from '../profile/recovery-key.ts';
import { forgetRecovery, unpublishedKey, withUnpublished } from './unpublished-key.ts';

export interface AccountKeyOptions {
  name?: string;
  /** Signs with the key on paper instead of one of this machine. */
  recoveryKeyFile?: string;
  /** Where the new recovery key is written instead of being shown. */
  recoveryOut?: string;
  /** Fingerprints of keys that the account gives up. */
  remove?: string[];
  /**
   * Of the signing keys there were, `own` gives up the one that signs this, and `all` every one but those
   * in `keep`.
   */
  replaces?: 'own' | 'all';
  keep?: string[];
}

type Current = VerifiedDocument<'account-keys'>;

/**
 * Adds a signing key of this machine to the account: version 1 of its keys, together with a recovery key,
 * or the next version, signed by a key that the last one names.
 */
export async function createAccountKey(
  context: CommandContext,
  encrypt: boolean,
  options: AccountKeyOptions,
): Promise<void> {
  const { profile, terminal } = context;
  const { person } = profile.require();
  const account = person.accountId;
  if (account === null) throw usageError('Only clients have account keys.');
  const api = await context.api();
  const keys = await context.keys();
  const path = `/api/v1/accounts/${reference(account)}/keys`;
  const chain = await api.list<DocumentBody>(path);
  const current = chain.length === 0 ? null : follow(context, chain);
  const left = await leftOver(context, chain);
  if (left !== null && current !== null && isNamed(current.payload, left.key)) {
    const pin = chain[0]!.digest;
    profile.update({ accountKeysDigest: pin, unpublishedKey: null });
    terminal.say(
      'The earlier attempt did arrive, and the recovery key that it gave out counts. Nothing was left to do.',
    );
    const { version } = current.payload;
    await tell(context, { ...left, version, pin, givenUp: [], recoveryKey: null });
    return;
  }
  if (left !== null) forgetRecovery(left, options.recoveryOut);
  const authority = current === null ? null : await authorityFor(context, current, options);
  const givenUp = givenUpKeys(current, authority, options);
  const renewsRecovery = current === null || options.recoveryKeyFile !== undefined;
  if (renewsRecovery && options.recoveryOut !== undefined) requireNewFile(options.recoveryOut);

  const name = left?.name ?? options.name ?? keys.freeName('signing');
  const owner = { person: person.id, name: person.name };
  const version = (current?.payload.version ?? 0) + 1;
  const publish = async () => {
    if (left !== null) {
      terminal.say(`Going on with the key "${name}" of an attempt that did not end.`);
    }
    const signer =
      left === null
        ? await keys.create(name, owner, { encrypt, forCredentials: true })
        : await keys.open(name);
    const recovery = renewsRecovery ? createRecoveryKey() : null;
    const envelope = signDocument(
      'account-keys',
      {
        account,
        version,
        previous: current?.digest ?? null,
        issuedAt: context.nowSeconds(),
        keys: [
          ...keptKeys(current, renewsRecovery, givenUp),
          { key: signer.key, name: `${person.name}, ${name}`.slice(0, 200), use: 'signing' },
          ...(recovery === null
            ? []
            : [{ key: recovery.signer.key, name: 'recovery, on paper', use: 'recovery' as const }]),
        ],
      },
      [authority ?? signer],
    );
    if (recovery !== null) await handOverRecovery(context, recovery.printed, options);
    if (options.replaces === 'all' && authority !== null) {
      await revokeFirst(context, authority, givenUp);
    }
    await api.post(path, { envelope: Buffer.from(envelope).toString('base64') });
    return { signer, recovery, envelope };
  };
  const attempt = { name, recoveryOut: options.recoveryOut };
  const { signer, recovery, envelope } = await withUnpublished(context, attempt, publish);
  const pin = chain[0]?.digest ?? digestOf(envelope);
  profile.update({ accountKeysDigest: pin, unpublishedKey: null });
  const recoveryKey = options.recoveryOut === undefined ? (recovery?.printed ?? null) : null;
  await tell(context, { name, key: signer.key, version, pin, givenUp, recoveryKey });
}

interface Published {
  name: string;
  key: PublicKey;
  version: number;
  pin: string;
  givenUp: string[];
  recoveryKey: string | null;
}

async function tell(context: CommandContext, published: Published): Promise<void> {
  const { terminal } = context;
  const { name, key, version, pin, givenUp, recoveryKey } = published;
  const credentialRecipient = (await context.keys()).credentialKey.recipient();
  const fingerprint = keyFingerprint(key);
  if (terminal.json) {
    const ends = { removed: givenUp, recoveryKey };
    terminal.printJson({ name, fingerprint, credentialRecipient, version, pin, ...ends });
    return;
  }
  terminal.say(glyph('ok', '✓'), `key "${name}"  ${fingerprint}`);
  terminal.say(glyph('ok', '✓'), `new credentials are sealed to ${credentialRecipient}`);
  terminal.say(glyph('ok', '✓'), `account keys, version ${version}; servers pin ${pin}`);
  if (givenUp.length > 0) {
    terminal.say(
      `Given up: ${givenUp.join(', ')}. Servers accept it no more, nor what it permitted.`,
    );
    terminal.sayNext('intervene authorize SERVER --ticket T --actions ...');
    return;
  }
  terminal.sayNext('intervene enroll SERVER --mode resident');
}

/** The key of an attempt that did not end; null when there is none, or the account has given it up since. */
async function leftOver(context: CommandContext, chain: readonly DocumentBody[]) {
  const left = await unpublishedKey(context);
  const key = left === null ? null : (await context.keys()).publicPart(left.name)?.key;
  if (left === null || key == null) return null;
  const versions = chain.map(
    ({ envelope }) => readUnverified('account-keys', Buffer.from(envelope, 'base64')).payload,
  );
  const isGivenUp =
    versions.some((one) => isNamed(one, key)) &&
    !versions.slice(-1).some((one) => isNamed(one, key));
  return isGivenUp ? null : { ...left, key };
}

function isNamed({ keys }: Current['payload'], key: PublicKey): boolean {
  return keys.some((entry) => keyFingerprint(entry.key) === keyFingerprint(key));
}

/**
 * Lost keys may be in other hands, and until they are taken back each could sign a successor of its own. The key
 * on paper takes them back before it is replaced itself: agents remember that. What runs ends its step.
 */
async function revokeFirst(
  context: CommandContext,
  recovery: Signer,
  keys: readonly string[],
): Promise<void> {
  if (keys.length === 0) return;
  const envelope = signDocument(
    'revoke',
    {
      grants: [],
      keys: [...keys],
      issuedAt: context.nowSeconds(),
      reason: 'given up in a recovery',
      afterStep: true,
    },
    [recovery],
  );
  const api = await context.api();
  await api.post('/api/v1/revocations', { envelope: Buffer.from(envelope).toString('base64') });
}

function givenUpKeys(
  current: Current | null,
  authority: Signer | null,
  { remove = [], replaces, keep = [] }: AccountKeyOptions,
): string[] {
  if (current === null && replaces !== undefined) {
    throw usageError(
      'The account has no keys yet, so there is nothing to replace.',
      [{ label: 'make the first ones', command: 'intervene keys create' }],
      'no_account_key',
    );
  }
  const signing = (current?.payload.keys ?? [])
    .filter(({ use }) => use === 'signing')
    .map(({ key }) => keyFingerprint(key));
  const unknown = keep.find((fingerprint) => !signing.includes(fingerprint));
  if (unknown !== undefined) throw usageError(`${unknown} is no signing key of the account.`);
  const own = authority === null ? '' : keyFingerprint(authority.key);
  const replaced = signing.filter((fingerprint) =>
    replaces === 'own' ? fingerprint === own : replaces === 'all' && !keep.includes(fingerprint),
  );
  return [...new Set([...remove, ...replaced])];
}

function follow(context: CommandContext, chain: readonly DocumentBody[]): Current {
  const pin = context.profile.require().accountKeysDigest ?? chain[0]?.digest ?? '';
  return followAccountKeysChain(
    chain.map((document) => Buffer.from(document.envelope, 'base64')),
    pin,
  );
}

/** Who may sign the next version: a key of this machine that stands in the last one, or the one on paper. */
async function authorityFor(
  context: CommandContext,
  current: Current,
  options: AccountKeyOptions,
): Promise<Signer> {
  const named = new Set(current.payload.keys.map((entry) => entry.key.public));
  if (options.recoveryKeyFile !== undefined) {
    const signer = readRecoveryKey(readNamedText(options.recoveryKeyFile).trim());
    if (named.has(signer.key.public)) return signer;
    throw usageError(
      'This recovery key is not one of the account any more.',
      [],
      'recovery_key_wrong',
    );
  }
  const keys = await context.keys();
  const own = keys.list().find((stored) => named.has(stored.key.public));
  if (own !== undefined) return keys.open(own.name);
  throw new CliError({
    code: 'no_account_key',
    happened:
      'The account has keys already, and none of them is on this machine. Whoever in your account holds one decides: ' +
      'they permit work with it, and they have the recovery key on paper. Only where every key is lost: ' +
      'intervene keys recover makes a new one with it, and ends all others, those of colleagues too.',
    next: [{ label: 'see which account it is', command: 'intervene whoami' }],
    exitStatus: exitStatus.refused,
  });
}

function keptKeys(current: Current | null, renewsRecovery: boolean, remove: readonly string[]) {
  const kept = (current?.payload.keys ?? []).filter(
    (entry) =>
      !(renewsRecovery && entry.use === 'recovery') && !remove.includes(keyFingerprint(entry.key)),
  );
  const known = (current?.payload.keys ?? []).map((entry) => keyFingerprint(entry.key));
  const unknown = remove.find((fingerprint) => !known.includes(fingerprint));
  if (unknown !== undefined) throw usageError(`${unknown} is no key of the account.`);
  return kept;
}

/** Shown once, before the key counts: a recovery key that nobody kept is none. */
async function handOverRecovery(
  context: CommandContext,
  printed: string,
  options: AccountKeyOptions,
): Promise<void> {
  const { terminal, prompt } = context;
  if (options.recoveryOut !== undefined) {
    const out = options.recoveryOut;
    const safe = 'The keys of the account are as they were.';
    writingNamedFile(
      out,
      () => writeFileSync(out, `${printed}\n`, { mode: 0o600, flag: 'wx' }),
      safe,
    );
    return;
  }
  if (terminal.json) return;
  if (!prompt.isPossible) {
    terminal.print(printed);
    terminal.say(
      'Recovery key, for the day all others are lost. It is not shown again; keep it on paper.',
    );
    return;
  }
  const groups = printed.split('-');
  terminal.say(
    'Recovery key, for the day all others are lost. Write it down; it is not shown again:',
  );
  terminal.say('');
  terminal.say('    ', styled('bold', printed));
  terminal.say('');
  for (;;) {
    const answer = await prompt.ask(['Type its last group: '], '--recovery-out FILE');
    if (answer.trim().toUpperCase() === groups.at(-1)) return;
    terminal.say('That is not the last group.');
  }
}
