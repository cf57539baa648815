import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { shell } from '../../../proto/documents/command-text.ts';
import { openSealedOutput, sealedDigest } from '../../../proto/documents/sealed-output.ts';
import { reference } from '../api/api-client.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { CredentialBody, JobBody, PackBody, SealedCredentialBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText, writingNamedFile } from '../named-file.ts';
import { harmless } from '../../../proto/documents/harmless-text.ts';
import { glyph, styled } from '../output/terminal.ts';
import { doubtOf } from '../verification/made-by-agent.ts';
import { credentialReference, requireClient } from './credentials.ts';

export interface OpenOptions {
  name?: string;
  output?: string;
  identityFile?: string;
  unproven?: boolean;
  yes?: boolean;
}

/**
 * `intervene credentials open JOB|CREDENTIAL`: fetches a secret that a job made, checks that the agent signed for
 * it, opens it with the profile's own key, and shows it once. Only then is it told that it was opened; until it is,
 * it can be opened again.
 */
export async function openCredential(
  context: CommandContext,
  [named = '']: string[],
  options: OpenOptions,
): Promise<number> {
  const { terminal } = context;
  requireClient(context, 'Only the client opens what was made for them.');
  if (options.output === undefined && (terminal.json || !terminal.outIsTty)) {
    throw usageError(
      'A secret is shown on a terminal, or written to a file that only you may read.',
      [{ label: '', command: shell`intervene credentials open ${named} --output FILE` }],
      'needs_output',
    );
  }
  const api = await context.api();
  const credential = await find(api, named, options.name);
  if (!options.yes && context.prompt.isPossible) {
    const where = options.output === undefined ? 'shown here once' : `written to ${options.output}`;
    const question = `C-${credential.number}, ${credential.name} of ${credential.serverName}: it is ${where}, and not kept by your provider after that. Open it?`;
    if (!(await context.prompt.confirm([question], '--yes'))) return exitStatus.stopped;
  }
  const { sealed } = await api.get<SealedCredentialBody>(
    `/api/v1/credentials/${credential.id}/sealed`,
  );
  const bytes = Buffer.from(sealed, 'base64');
  if (!options.unproven) await requireProof(context, api, credential, sealedDigest(bytes));
  const secret = await unseal(context, credential, bytes, options.identityFile);
  handOver(context, secret, credential, options.output);
  await api.post(`/api/v1/credentials/${credential.id}/opened`, {}).catch((cause: unknown) => {
    throw new CliError({
      code: 'not_told',
      happened: `You have ${credential.name}; that could not be told to the control plane, which keeps it, sealed.`,
      safe: 'Nobody else can open it.',
      next: [
        { label: 'tell it', command: shell`intervene credentials open C-${credential.number}` },
      ],
      cause,
    });
  });
  if (terminal.json) {
    terminal.printJson({ id: credential.id, name: credential.name, file: options.output });
    return exitStatus.succeeded;
  }
  terminal.say(
    glyph('ok', '✓'),
    `${credential.name} of ${credential.serverName} is opened, and not kept any more. Change it after you logged in.`,
  );
  return exitStatus.succeeded;
}

async function find(api: ApiClient, named: string, name?: string): Promise<CredentialBody> {
  if (!/^\d+[./]\d+$/.test(named)) {
    const found = await api.get<CredentialBody>(
      `/api/v1/credentials/${credentialReference(named)}`,
    );
    return requireUnopened(found);
  }
  const job = await api.get<JobBody>(`/api/v1/jobs/${reference(named)}`);
  const all = await api.list<CredentialBody>('/api/v1/credentials', { job: job.id });
  const made = all.filter(
    (item) => item.kind === 'made' && (name === undefined || item.name === name),
  );
  const [only, ...others] = made.filter(({ state }) => state === 'unopened');
  if (only !== undefined && others.length === 0) return only;
  if (only !== undefined) {
    throw usageError(
      `${job.name} made ${[only, ...others].map((item) => item.name).join(', ')}: say which.`,
      [{ label: '', command: shell`intervene credentials open ${job.name} --name ${only.name}` }],
      'credential_ambiguous',
    );
  }
  if (made[0] !== undefined) return requireUnopened(made[0]);
  throw usageError(
    name === undefined
      ? `${job.name} made no secret.`
      : `${job.name} made no secret ${JSON.stringify(name)}.`,
    [{ label: 'see which there are', command: 'intervene credentials list' }],
    'credential_not_found',
  );
}

function requireUnopened(credential: CredentialBody): CredentialBody {
  const { number, kind, openedAt, openedBy, serverName } = credential;
  if (kind === 'given') {
    throw usageError(`C-${number} was given to the agent of ${serverName}: only that opens it.`);
  }
  if (openedAt === null) return credential;
  throw new CliError({
    code: 'credential_opened',
    happened: `C-${number} was opened by ${openedBy ?? 'somebody'} at ${openedAt}; it is not kept any more.`,
    next: [{ label: 'if that was nobody you know', command: 'intervene credentials list --all' }],
    exitStatus: exitStatus.refused,
  });
}

async function requireProof(
  context: CommandContext,
  api: ApiClient,
  credential: CredentialBody,
  digest: string,
): Promise<void> {
  const { rootDigest, accountKeysDigest } = context.profile.require();
  const jobId = credential.jobId!;
  const { interventionId } = await api.get<JobBody>(`/api/v1/jobs/${reference(jobId)}`);
  const pack = await api.get<PackBody>(`/api/v1/interventions/${interventionId}/pack`);
  const doubt =
    rootDigest === null || accountKeysDigest === null
      ? 'this profile has nothing pinned to check it with'
      : doubtOf(pack, { root: rootDigest, accountKeys: accountKeysDigest }, { jobId, digest });
  if (doubt === null) return;
  throw new CliError({
    code: 'credential_unproven',
    happened: `Nothing proves that the agent on ${credential.serverName} made it: ${doubt}.`,
    safe: 'Nothing was opened.',
    next: [
      {
        label: 'to open it all the same',
        command: shell`intervene credentials open C-${credential.number} --unproven`,
      },
    ],
    exitStatus: exitStatus.refused,
  });
}

async function unseal(
  context: CommandContext,
  credential: CredentialBody,
  sealed: Buffer,
  identityFile: string | undefined,
): Promise<string> {
  const identity =
    identityFile === undefined
      ? await (await context.keys()).credentialKey.open()
      : readIdentity(identityFile);
  const { jobId, serverId, name } = credential;
  try {
    return await openSealedOutput(identity, { job: jobId!, server: serverId, name }, sealed);
  } catch (cause) {
    throw new CliError({
      code: 'credential_unreadable',
      happened: `C-${credential.number} does not open with this key: ${(cause as Error).message}.`,
      safe: 'It is kept, sealed as it is.',
      next: [
        {
          label: 'if it was sealed to another key of yours',
          command: shell`intervene credentials open C-${credential.number} --identity-file FILE`,
        },
      ],
      exitStatus: exitStatus.refused,
      cause,
    });
  }
}

function readIdentity(path: string): string {
  const lines = readNamedText(path).split('\n');
  const identity = lines.find((line) => line.startsWith('AGE-SECRET-KEY-1'))?.trim();
  if (identity !== undefined) return identity;
  throw usageError(`There is no identity (AGE-SECRET-KEY-1…) in ${path}.`);
}

/** Whole before anything is said: what was shown in part would be lost. */
function handOver(
  { terminal }: CommandContext,
  secret: string,
  { number }: CredentialBody,
  output: string | undefined,
): void {
  if (output !== undefined) {
    const safe = 'The secret is kept, sealed as it is.';
    const file = writingNamedFile(output, () => openSync(output, 'wx', 0o600), safe);
    try {
      writeSync(file, secret);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    return;
  }
  const lines = secret.split('\n');
  if (lines.some((line) => harmless(line) !== line)) {
    throw usageError(
      'It has characters that a terminal does not show as they are.',
      [
        {
          label: 'write it to a file',
          command: shell`intervene credentials open C-${number} --output FILE`,
        },
      ],
      'needs_output',
    );
  }
  for (const line of lines) terminal.print(styled('bold', line));
}
