import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import path from 'node:path';
import { z } from 'zod';
import { actionClass, actionPattern, digest } from '../../proto/documents/fields.ts';
import { DocumentError } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import { DEFAULT_CONFIG_FILE, formatConfig, locate, serverAddress } from '../config.ts';
import type { AgentOptions } from '../config.ts';
import { writeDurably } from '../connection/durable-file.ts';
import { AlreadyEnrolledError, enroll, trustDirectory } from '../connection/enroll.ts';
import { UntrustedServerError } from '../connection/server-certificate.ts';
import { collectFacts } from '../facts.ts';
import { parseKernelCommandLine } from '../kernel-command-line.ts';
import { TrustedClock } from '../trust/trusted-clock.ts';
import { formatPolicy, LOOK_ONLY } from '../install/policy-text.ts';
import type { PolicyChoice } from '../install/policy-text.ts';
import { describeError } from './describe-error.ts';
import { printLines } from './printing.ts';

export interface EnrollOptions extends AgentOptions {
  serverAddress?: string;
  tokenFile?: string;
  tokenStdin?: boolean;
  token?: string;
  ca?: string;
  root: string;
  accountKeys: string;
  mode: 'resident' | 'rescue';
  kernelCommandLine?: string | true;
  /** What the local policy shall let orders do; without either the policy stays as it is. */
  allow?: string[];
  highestClass?: string;
  allowNoUndo?: boolean;
  replace?: boolean;
  yes?: boolean;
}

/** Thrown for a command line that cannot be carried out as it stands. */
class UsageError extends Error {
  override name = 'UsageError';
}

const settingsSchema = z.object({
  addresses: z.array(serverAddress).min(1, '--server-address is missing'),
  caPin: digest,
  rootDigest: digest,
  accountKeysDigest: digest,
  token: z.string().regex(/^[A-Za-z0-9_-]{16,200}$/, 'not a token'),
  policy: z
    .object({
      allow: z.array(actionPattern),
      highestClass: actionClass,
      allowNoUndo: z.boolean(),
    })
    .nullable(),
});
type Settings = z.output<typeof settingsSchema>;

/** gRPC codes (status.ts of grpc-js) that mean no, and those that mean nobody was there. */
const REFUSED_CODES = [3, 5, 7, 9, 16];

/** Shows what will be trusted, asks, and enrols. */
export async function enrollCommand(options: EnrollOptions): Promise<number> {
  const { stateDirectory, policyFile } = locate(options);
  try {
    const settings = await readSettings(options);
    showTrust(settings, options.mode);
    if (options.yes !== true && !(await isConfirmed())) {
      process.stderr.write('Nothing was changed.\n');
      return 1;
    }
    const { caPin, rootDigest, accountKeysDigest, token } = settings;
    const identity = await enroll({
      address: settings.addresses[0]!,
      token,
      mode: options.mode,
      pins: { caPin, rootDigest, accountKeysDigest },
      facts: collectFacts(),
      stateDirectory,
      nowMs: await readClock(stateDirectory),
      replace: options.replace === true,
    });
    await writeMissingConfig(options, settings.addresses, stateDirectory);
    if (settings.policy !== null) await writePolicy(policyFile, settings.policy);
    printLines(
      [
        `✓ Enrolled as agent ${identity.agentId} of server ${identity.serverId}`,
        `  Agent key  ${keyFingerprint(identity.signer.key)}`,
        'Next: systemctl enable --now intervene-agent   (or: intervene-agent run)',
      ],
      'stderr',
    );
    return 0;
  } catch (error) {
    process.stderr.write(`✗ ${describeError(error)}\n`);
    return exitStatusOf(error);
  }
}

function exitStatusOf(error: unknown): number {
  if (error instanceof UsageError) return 2;
  if (error instanceof AlreadyEnrolledError) return 1;
  if (error instanceof UntrustedServerError || error instanceof DocumentError) return 3;
  const { code } = error as { code?: unknown };
  if (typeof code === 'number') return REFUSED_CODES.includes(code) ? 3 : 5;
  return typeof code === 'string' && /^E(?:CONN|HOST|NET|AI_|TIMEDOUT)/.test(code) ? 5 : 1;
}

async function readSettings(options: EnrollOptions): Promise<Settings> {
  const boot = readBootParameters(options.kernelCommandLine);
  const checked = settingsSchema.safeParse({
    addresses:
      options.serverAddress === undefined ? (boot?.addresses ?? []) : [options.serverAddress],
    caPin: options.ca ?? boot?.authority ?? '',
    rootDigest: options.root,
    accountKeysDigest: options.accountKeys,
    token: (await readToken(options)) ?? boot?.token ?? '',
    policy: choosePolicy(options),
  });
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0]!;
  throw new UsageError(`${issue.path.join('.')}: ${issue.message}`);
}

function choosePolicy({ allow, highestClass, allowNoUndo }: EnrollOptions) {
  const chosen = { allow, highestClass, allowNoUndo };
  if (Object.values(chosen).every((choice) => choice === undefined)) return null;
  return {
    allow: allow ?? LOOK_ONLY.allow,
    highestClass: highestClass ?? LOOK_ONLY.highestClass,
    allowNoUndo: allowNoUndo ?? LOOK_ONLY.allowNoUndo,
  };
}

function readBootParameters(source: string | true | undefined) {
  if (source === undefined) return null;
  const file = source === true ? '/proc/cmdline' : source;
  const parameters = parseKernelCommandLine(readFileSync(file, 'utf8'));
  if (parameters === null) throw new UsageError(`${file} has no intervene.* words`);
  if (parameters.voucher !== null) {
    // Enrolling without looking at it would be weaker than whoever booted this machine believes.
    throw new UsageError('this version cannot check the voucher that intervene.voucher names');
  }
  return parameters;
}

async function readToken(options: EnrollOptions): Promise<string | undefined> {
  const given = [options.token, options.tokenFile, options.tokenStdin].filter(
    (source) => source !== undefined,
  );
  if (given.length > 1) throw new UsageError('give the token in one way only');
  if (options.tokenFile !== undefined) return readFileSync(options.tokenFile, 'utf8').trim();
  if (options.tokenStdin === true) return (await text(process.stdin)).trim();
  return options.token;
}

function showTrust(
  { addresses, caPin, rootDigest, accountKeysDigest, policy }: Settings,
  mode: string,
): void {
  const lines = [
    'This server will trust:',
    `  Control plane   ${addresses.join(', ')}`,
    `  CA key          ${caPin}`,
    `  Operator root   ${rootDigest}`,
    `  Account keys    ${accountKeysDigest}`,
    `  Mode            ${mode}`,
    ...(policy === null
      ? []
      : [
          `Its policy allows ${policy.allow.join(', ') || 'any action'}, up to class ` +
            `${policy.highestClass}, ${policy.allowNoUndo ? 'also' : 'not'} what cannot be undone, ` +
            `with the client's grant and an engineer's order.`,
        ]),
    'It dials out and opens no port.',
  ];
  printLines(lines, 'stderr');
}

async function isConfirmed(): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError('nobody can be asked here: --yes is needed');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test(
      await terminal.question('Are these the digests you were told? [y/N] '),
    );
  } finally {
    terminal.close();
  }
}

/** A machine that was enrolled before keeps its time. */
async function readClock(stateDirectory: string): Promise<() => number> {
  const mark = path.join(trustDirectory(stateDirectory), 'time-mark');
  if (!existsSync(mark)) return Date.now;
  const clock = await TrustedClock.open(mark);
  return () => clock.nowMs();
}

async function writeMissingConfig(
  options: AgentOptions,
  addresses: readonly string[],
  stateDirectory: string,
): Promise<void> {
  const file = path.resolve(options.config ?? DEFAULT_CONFIG_FILE);
  if (existsSync(file) || !existsSync(path.dirname(file))) return;
  await writeDurably(file, formatConfig(addresses, stateDirectory), 0o644);
  process.stderr.write(`  Wrote ${file}\n`);
}

/** What local root wrote stays; only what nobody touched since it was installed gives way. */
async function writePolicy(file: string, choice: PolicyChoice): Promise<void> {
  if (existsSync(file) && readFileSync(file, 'utf8') !== formatPolicy(LOOK_ONLY)) {
    process.stderr.write(`! ${file} was changed here and stays as it is.\n`);
    return;
  }
  await writeDurably(file, formatPolicy(choice), 0o644);
  process.stderr.write(`  Wrote ${file}\n`);
}
