import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pack as packSchema } from '../../http/schemas.ts';
import type { PackBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { fileUnreadable, readNamedFile } from '../named-file.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatCount } from '../output/time-text.ts';
import type { Pins } from '../verification/pack-trust.ts';
import { verifyPack } from '../verification/verify-pack.ts';
import type { LogFile } from '../verification/verify-pack.ts';

export interface VerifyOptions {
  root?: string;
  accountKeys?: string;
  agent?: string[];
  log?: string[];
}

const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const NOT_CHECKED = 'Nothing was checked, and nothing was changed.';
const PACK_MAX_BYTES = 256 * 1024 * 1024;

/** `intervene verify PACK`: exit status 1 when anything does not hold. Needs no control plane. */
export async function verify(
  context: CommandContext,
  [path = '']: string[],
  options: VerifyOptions,
): Promise<number> {
  const { terminal } = context;
  const pins = readPins(context, options);
  const pack = readPack(path);
  const logs: LogFile[] = [];
  for (const file of options.log ?? [])
    logs.push({
      name: basename(file),
      digest: await hash(file).catch((error: unknown) => {
        throw fileUnreadable(file, error, NOT_CHECKED);
      }),
    });
  const { checks, hasFailed, signedEntries } = verifyPack(pack, pins, logs);
  const failed = checks.filter((check) => check.verdict === 'fails');
  if (terminal.json) {
    terminal.printJson({ intact: !hasFailed, signedEntries, entries: pack.chain.length, checks });
    return hasFailed ? exitStatus.failed : exitStatus.succeeded;
  }
  for (const { subject, verdict, detail } of checks) {
    if (!terminal.outIsTty) terminal.printFields([verdict, subject, detail]);
    else terminal.print(signs[verdict], styled('bold', subject), `  ${detail}`);
  }
  const { number } = pack.intervention;
  if (failed.length > 0) {
    terminal.say(
      glyph('bad', '✗'),
      styled(
        'bold',
        `Intervention ${number} does not hold: ${failed.length} of ${formatCount(checks.length, 'check')} failed.`,
      ),
    );
    terminal.say(`First: ${failed[0]?.subject}: ${failed[0]?.detail}`);
    return exitStatus.failed;
  }
  terminal.say(
    glyph('ok', '✓'),
    styled(
      'bold',
      `Intervention ${number} holds, signed by the agent up to entry ${signedEntries} of ${pack.chain.length}: ` +
        `${formatCount(checks.length, 'check')}, ${formatCount(pack.jobs.length, 'job')}.`,
    ),
  );
  terminal.say(
    'What came after that entry, or was cut off at the end, only the control plane says: entries bear no signature. The numbers of jobs are its words, too.',
  );
  return exitStatus.succeeded;
}

const signs = {
  holds: glyph('ok', '✓'),
  fails: glyph('bad', '✗'),
  note: glyph('warn', '!'),
} as const;

function readPins(context: CommandContext, options: VerifyOptions): Pins {
  const profile = context.profile.read();
  const root = options.root ?? profile?.rootDigest ?? null;
  const accountKeys = options.accountKeys ?? profile?.accountKeysDigest ?? null;
  for (const digest of [options.root, options.accountKeys]) {
    if (digest !== undefined && !DIGEST.test(digest)) {
      throw usageError(`${digest} is no digest: sha256: and 64 digits.`);
    }
  }
  const agentKeys = options.agent ?? [];
  for (const key of agentKeys) {
    if (!FINGERPRINT.test(key)) {
      throw usageError(`${key} is no fingerprint: SHA256: and 43 characters.`);
    }
  }
  if (root !== null && accountKeys !== null) return { root, accountKeys, agentKeys };
  throw new CliError({
    code: 'pins_missing',
    happened: `Nothing is pinned to check against: ${root === null ? 'the operator root' : 'the account keys'}.`,
    safe: 'Nothing was checked.',
    next: [
      {
        label: 'they stand in the install line, and intervene-agent trust tells them',
        command: 'intervene verify PACK --root sha256:… --account-keys sha256:…',
      },
    ],
    exitStatus: exitStatus.usage,
  });
}

function readPack(path: string): PackBody {
  const content = readNamedFile(path, NOT_CHECKED);
  if (content.length > PACK_MAX_BYTES) throw usageError(`${path} is larger than 256 MiB.`);
  let json: unknown;
  try {
    json = JSON.parse(content.toString('utf8'));
  } catch {
    throw usageError(`${path} is no pack: it is not JSON.`, [], 'pack_malformed');
  }
  const parsed = packSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw usageError(
    `${path} is no pack: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
    [{ label: '', command: 'intervene interventions pack NUMBER --output FILE' }],
    'pack_malformed',
  );
}

async function hash(path: string): Promise<string> {
  const digest = createHash('sha256');
  await pipeline(createReadStream(path), digest);
  return `sha256:${digest.digest('hex')}`;
}
