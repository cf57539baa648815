import { commandText, shell } from '../../../proto/documents/command-text.ts';
import { secretsOf, type ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { ALL_DISKS, type Order } from '../../../proto/documents/kinds/order.ts';
import { usageError } from '../cli-error.ts';
import { readSecretFile } from '../credentials/read-secret.ts';
import { suggest } from '../output/suggestion.ts';
import { parseDuration } from '../output/time-text.ts';
import type { OrderOptions } from './order-job.ts';
import { splitPair } from './parameters.ts';
import { shortDigest, type ReadPlan } from './read-plan.ts';
import { requireTicket } from './ticket.ts';

/** What `run`, `plan` and `jobs undo` take on the command line about the order itself. */
export interface RawOrderOptions {
  timeout?: string;
  onDisconnect?: 'finish' | 'stop';
  reason?: string;
  ticket?: string;
  engineers?: number;
  secret?: string[];
  given?: string[];
  key?: string;
  disk?: string;
  system?: string;
  expectHostname?: string;
  expectMachineId?: string;
}

const RUNTIME_MOST_SECONDS = 7 * 24 * 3600;

/** Throws CliError for a time that cannot be, and for secrets the action does not take. */
export function readOrderOptions(raw: RawOrderOptions, action: ActionDeclaration): OrderOptions {
  return {
    timeoutSeconds: readTimeout(raw.timeout),
    onDisconnect: raw.onDisconnect ?? 'finish',
    reason: raw.reason ?? '',
    ticket: raw.ticket === undefined ? undefined : requireTicket(raw.ticket),
    engineers: readEngineers(raw.engineers),
    secrets: readSecrets(raw.secret ?? [], action),
    given: readGiven(raw.given ?? [], raw.secret ?? [], action),
    target: readTarget(raw, action),
    expectedSystem: {
      ...(raw.expectHostname !== undefined && { hostname: raw.expectHostname }),
      ...(raw.expectMachineId !== undefined && { machineId: raw.expectMachineId }),
    },
  };
}

/** The system on disks that is meant; null for the running one. */
function readTarget({ disk, system }: RawOrderOptions, action: ActionDeclaration): Order['target'] {
  if (disk === undefined) {
    if (system === undefined) return null;
    throw usageError('--system says which of the systems on a disk is meant; name --disk too.');
  }
  if (action.offline === undefined) {
    throw usageError(
      `${action.id} works on the running system only; leave --disk out.`,
      [],
      'target_not_supported',
    );
  }
  if (disk !== ALL_DISKS && (!disk.startsWith('/') || disk.length > 255)) {
    throw usageError(`--disk ${disk}: the absolute path of a disk or image, or ${ALL_DISKS}.`);
  }
  return { disk, ...(system !== undefined && { filesystem: system }) };
}

/** How a job was ordered, as commands that order it or the like again have to say it. */
export interface OrderedWith {
  /** Empty where it is not known. */
  ticket: string;
  /** See `orderWords`. */
  words: readonly string[];
}

/**
 * The options that an order was made with, for commands to copy that order the next; without its target where a
 * plan says it. The file of a secret is not known any more.
 */
export function orderWords(
  options: Pick<OrderOptions, 'expectedSystem' | 'ticket' | 'given' | 'secrets'>,
  target: Order['target'],
): string[] {
  const { hostname, machineId } = options.expectedSystem;
  return [
    ...targetWords(target),
    ...(hostname === undefined ? [] : ['--expect-hostname', hostname]),
    ...(machineId === undefined ? [] : ['--expect-machine-id', machineId]),
    ...(options.ticket === undefined ? [] : ['--ticket', options.ticket]),
    ...options.given.flatMap((name) => ['--given', name]),
    ...Object.keys(options.secrets).flatMap((name) => ['--secret', `${name}=FILE`]),
  ];
}

function targetWords(target: Order['target']): string[] {
  if (target?.disk === undefined) return [];
  const { disk, filesystem } = target;
  return ['--disk', disk, ...(filesystem === undefined ? [] : ['--system', filesystem])];
}

/** The command that carries a plan out, with the options it was made with. */
export function runPlanText(
  server: string,
  { id }: Pick<ActionDeclaration, 'id'>,
  { digest }: ReadPlan,
  options: OrderOptions,
): string {
  const words = ['--plan', shortDigest(digest), ...orderWords(options, null)];
  return commandText(['intervene', 'run', server, id, ...words]);
}

function readEngineers(count: number | undefined): number | undefined {
  if (count === undefined || (count >= 1 && count <= 4)) return count;
  throw usageError(`--engineers ${count}: 1 to 4.`);
}

function readTimeout(text: string | undefined): number | null {
  if (text === undefined) return null;
  const seconds = parseDuration(text);
  if (seconds === null || seconds > RUNTIME_MOST_SECONDS) {
    throw usageError(`--timeout ${text}: a time such as 30s, 10m or 2h, 7d at most.`);
  }
  return seconds;
}

/** `name=FILE`, or `name=-` for standard input; never the secret itself. */
function readSecrets(pairs: readonly string[], action: ActionDeclaration): Record<string, string> {
  const secrets: Record<string, string> = {};
  for (const pair of pairs) {
    const [name, path] = splitPair(pair);
    requireInput(name, action);
    secrets[name] = readSecretFile(name, path);
  }
  return secrets;
}

/** Names of secrets that the client gave. */
function readGiven(
  names: readonly string[],
  pairs: readonly string[],
  action: ActionDeclaration,
): string[] {
  for (const name of names) {
    requireInput(name, action);
    if (pairs.some((pair) => splitPair(pair)[0] === name)) {
      throw usageError(`The secret ${name} comes from a file or from the client, not from both.`);
    }
  }
  return [...new Set(names)];
}

function requireInput(name: string, action: ActionDeclaration): void {
  const known = secretsOf(action);
  if (known.includes(name)) return;
  const meant = suggest(name, known);
  throw usageError(
    `${action.id} takes no secret ${JSON.stringify(name)}.${meant === null ? '' : ` Did you mean ${meant}?`}`,
    [{ label: 'see what it takes', command: shell`intervene actions ${action.id}` }],
  );
}
