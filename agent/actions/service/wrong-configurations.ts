import type { CommandOptions, CommandResult } from '../../process/command.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { tryInside, type TriedSystem } from '../../target/offline/try-inside.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import { checkConfiguration } from './check-configuration.ts';
import { checkerOf } from './checkers.ts';
import { configurationFault, type ConfigurationFault } from './configuration-fault.ts';
import { OWN_UNITS, readStoredUnit } from './stored-unit.ts';

/** Those that findings and repairs of their own know better. */
const JUDGED_ELSEWHERE = /^(?:sshd?|nftables)\.service$/;
const PROGRAMS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const SERVICES_MAX = 12;
const SAID_CHARACTERS = 400;

type Run = (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;

/** A service that does not start with its configuration, by what its own check says. */
export interface WrongConfiguration extends ConfigurationFault {
  unit: string;
  argv: string[];
}

/** A service whose configuration its own program can check. */
export interface CheckedService {
  id: string;
  programWords: string;
}

/** Services that start with the system and whose check is installed. */
export async function checkedServices(files: TargetFiles): Promise<CheckedService[]> {
  const folders = (await files.list(OWN_UNITS)).filter((name) =>
    /\.(?:wants|requires)$/.test(name),
  );
  const names = new Set<string>();
  for (const folder of folders) {
    for (const name of await files.list(`${OWN_UNITS}/${folder}`)) names.add(name);
  }
  const services: CheckedService[] = [];
  for (const id of names) {
    if (services.length === SERVICES_MAX) break;
    if (JUDGED_ELSEWHERE.test(id) || checkerOf(id, '') === undefined) continue;
    const service = await checkedService(files, id).catch(passOver);
    if (service !== null) services.push(service);
  }
  return services;
}

/**
 * Null where nobody can check it: no check is known, or its program is not there. Throws ActionError
 * `unit_not_found`.
 */
export async function checkedService(
  files: TargetFiles,
  id: string,
): Promise<CheckedService | null> {
  const { programWords, isMasked } = await readStoredUnit(files, id);
  const found = checkerOf(id, programWords);
  if (found === undefined || isMasked) return null;
  for (const folder of PROGRAMS) {
    const program = await files.stat(`${folder}/${found.argv[0]}`).catch(() => null);
    if (program?.isFile() === true) return { id, programWords };
  }
  return null;
}

export interface CheckOptions {
  withinMs?: number;
  /** Folders in which it sees nothing of the system's, where there are more than for programs of a target. */
  emptied?: readonly string[];
  /** It has what the running service has: only its consent counts. */
  hasAll?: true;
}

/**
 * Asks the service's own program. Null where it is content, or lacks no more than what the running service
 * has.
 */
export async function wrongConfiguration(
  run: Run,
  service: CheckedService,
  { withinMs, emptied, hasAll }: CheckOptions = {},
): Promise<WrongConfiguration | null> {
  const check = await checkConfiguration({ run, note: () => {} }, service, withinMs);
  if (check === null || check.passed) return null;
  const { argv, said } = check;
  const fault =
    configurationFault(said, emptied) ?? (hasAll === true ? { place: null, said } : null);
  return fault === null ? null : { ...fault, unit: service.id, argv };
}

/** What it says, in a sentence without its end. */
export function wrongText({ argv, place, said }: WrongConfiguration): string {
  const check = argv.join(' ');
  if (place !== null) return `${check} stops at line ${place.line} of ${place.file}`;
  return `${check} fails${said === '' ? ' and says nothing' : ` and names no line: ${said.slice(-SAID_CHARACTERS)}`}`;
}

/**
 * Runs programs of a system on disks over a view of its files that is thrown away: a check writes logs and
 * makes folders.
 */
export async function checkTried<T>(
  context: ActionContext,
  target: Target,
  body: (system: TriedSystem) => Promise<T>,
): Promise<T> {
  let result: { value: T } | undefined;
  await tryInside(
    context,
    target,
    async (system) => void (result = { value: await body(system) }),
    () => Promise.resolve(),
  );
  return result!.value;
}

/** Units that no file describes. */
function passOver(error: unknown): null {
  if (error instanceof ActionError) return null;
  throw error;
}
