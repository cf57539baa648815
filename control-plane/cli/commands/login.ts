import { resolve } from 'node:path';
import { shell } from '../../../proto/documents/command-text.ts';
import type { CommandContext } from '../command-context.ts';
import { CliError, usageError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText } from '../named-file.ts';
import type { NewTokenBody, PersonBody } from '../api/bodies.ts';
import { pinFirstSeen } from '../trust/first-seen.ts';
import { glyph } from '../output/terminal.ts';
import type { ProfileData } from '../profile/profile.ts';

export interface LoginOptions {
  tokenFile?: string;
  invitationFile?: string;
  caFile?: string;
}

/** `intervene login URL`: remembers a token, or turns an invitation into one. */
export async function login(
  context: CommandContext,
  [url = '']: string[],
  options: LoginOptions,
): Promise<void> {
  const { profile, terminal } = context;
  const address = checkUrl(url);
  const before = profile.read();
  if (before !== null && before.url !== address && hasPins(before)) {
    throw new CliError({
      code: 'profile_taken',
      happened: `Profile "${profile.name}" belongs to ${before.url} and holds its pinned keys.`,
      next: [
        { label: 'use another profile', command: shell`intervene login ${url} --profile NAME` },
      ],
      exitStatus: exitStatus.usage,
    });
  }
  const to = { url: address, caFile: options.caFile ? resolve(options.caFile) : null };
  const { token, person } = await obtainToken(context, to, options);
  const sameServer = before?.url === address ? before : null;
  profile.write({
    ...to,
    caFile: to.caFile ?? sameServer?.caFile ?? null,
    person,
    rootDigest: sameServer?.rootDigest ?? null,
    accountKeysDigest: sameServer?.accountKeysDigest ?? null,
  });
  profile.writeToken(token);
  await pinFirstSeen(context);
  if (terminal.json) {
    terminal.printJson(person);
    return;
  }
  terminal.say(glyph('ok', '✓'), `logged in to ${address} as ${person.name} (${person.role})`);
  const { rootDigest } = profile.require();
  if (rootDigest !== null && sameServer?.rootDigest !== rootDigest) {
    terminal.say(`Pinned the operator root ${rootDigest}, as seen now.`);
  }
  terminal.sayNext(nextCommand(person));
}

async function obtainToken(
  context: CommandContext,
  to: Pick<ProfileData, 'url' | 'caFile'>,
  options: LoginOptions,
): Promise<{ token: string; person: PersonBody }> {
  if (options.tokenFile !== undefined && options.invitationFile !== undefined) {
    throw usageError('A token and an invitation were given; one is enough.');
  }
  if (options.tokenFile !== undefined) {
    return useToken(context, to, readSecret(options.tokenFile));
  }
  if (options.invitationFile !== undefined) {
    return redeem(context, to, readSecret(options.invitationFile));
  }
  const secret = await context.prompt.askHidden(
    ['Token or invitation (not shown): '],
    '--token-file FILE or --invitation-file FILE',
  );
  try {
    return await useToken(context, to, secret.trim());
  } catch (error) {
    // What is no token may be an invitation; an invitation asked as a token is not used up by it.
    if (error instanceof CliError && error.exitStatus === exitStatus.refused) {
      return redeem(context, to, secret.trim());
    }
    throw error;
  }
}

async function useToken(
  context: CommandContext,
  to: Pick<ProfileData, 'url' | 'caFile'>,
  token: string,
): Promise<{ token: string; person: PersonBody }> {
  const api = await context.connect(to, token);
  try {
    return { token, person: await api.get<PersonBody>('/api/v1/whoami') };
  } finally {
    api.close();
  }
}

async function redeem(
  context: CommandContext,
  to: Pick<ProfileData, 'url' | 'caFile'>,
  invitation: string,
): Promise<{ token: string; person: PersonBody }> {
  const api = await context.connect(to, null);
  try {
    return await api.post<NewTokenBody>('/api/v1/invitations/redeem', {
      invitation,
      label: context.surroundings.hostName.slice(0, 100),
    });
  } finally {
    api.close();
  }
}

/** The address of a control plane, without a slash at its end. Throws CliError for one that a token may not travel to. */
export function checkUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw usageError(`${JSON.stringify(text)} is no URL, such as https://intervene.example.net`);
  }
  if (url.protocol === 'https:') return url.href.replace(/\/+$/, '');
  const isHere = ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  if (url.protocol === 'http:' && isHere) return url.href.replace(/\/+$/, '');
  throw new CliError({
    code: 'url_not_protected',
    happened: `A token must not travel over ${url.protocol}//; only this machine itself is reached by http.`,
    next: [{ label: '', command: shell`intervene login https://${url.host}` }],
    exitStatus: exitStatus.usage,
  });
}

function readSecret(path: string): string {
  const secret = readNamedText(path).trim();
  if (secret === '') throw usageError(`${path} is empty.`);
  return secret;
}

function hasPins(data: ProfileData): boolean {
  return data.rootDigest !== null || data.accountKeysDigest !== null;
}

function nextCommand(person: PersonBody): string {
  if (person.role === 'client') return 'intervene keys create';
  return person.role === 'admin'
    ? 'intervene people invite NAME --role engineer'
    : 'intervene servers list';
}
