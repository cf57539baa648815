import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandOptions, CommandResult } from '../../../process/command.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { packageEnvironment } from '../apt-session.ts';
import { sha256 } from '../package-archives.ts';
import { digestOf, filesUnder, type Precondition } from '../preconditions.ts';
import { evrOf, type RpmManager, type RpmName } from './rpm-manager.ts';

/** One package of rpm's record. A name is there more than once for kernels, and after a cut-off change. */
export interface InstalledRpm extends RpmName {
  bytes: number;
}

const FORMAT = '%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{LONGSIZE}\\n';
/** Locks, and what SQLite and Berkeley DB share between those who read (sqlite.org/walformat.html). */
const PASSING = /^\.|-shm$|^__db\./;

/** Every package rpm knows, sorted; keys of repositories, which rpm keeps as packages, are not among them. */
export async function listRpms(context: Pick<ActionContext, 'run'>): Promise<InstalledRpm[]> {
  const { packages, said } = await readRecord(context);
  if (said === '') return packages;
  throw new ActionError(
    'record_damaged',
    `rpm cannot list packages: ${said}. Nothing was changed: packages.repair builds the record anew.`,
  );
}

/** What can be read of rpm's record, and what rpm says where that is not all; empty when it is. */
export async function readRecord(
  context: Pick<ActionContext, 'run'>,
): Promise<{ packages: InstalledRpm[]; said: string }> {
  const done = await runRpm(context, ['--query', '--all', '--queryformat', FORMAT]);
  const packages = done.out
    .split('\n')
    .filter((line) => line !== '')
    .toSorted()
    .flatMap((line): InstalledRpm[] => {
      const [name, epoch, version, architecture, bytes] = line.split('\t');
      if (name === 'gpg-pubkey') return [];
      const evr = evrOf(epoch!, version!);
      return [{ name: name!, architecture: architecture!, evr, bytes: Number(bytes) || 0 }];
    });
  // Of a damaged record rpm gives what it can read, with status 0.
  const isWhole = done.exitStatus === 0 && !done.truncated && !/^error: /m.test(done.err);
  const said = done.err.trim().slice(0, 2000);
  return { packages, said: isWhole ? '' : said || `rpm ended with ${done.exitStatus}` };
}

/** Runs rpm and its relatives in the surroundings of apt-get: nobody is asked, everything is English. */
export function runRpmProgram(
  context: Pick<ActionContext, 'run'>,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return context.run(argv, { environment: packageEnvironment, output: 'capture', ...options });
}

export function runRpm(
  context: Pick<ActionContext, 'run'>,
  words: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return runRpmProgram(context, ['rpm', ...words], options);
}

/** Where rpm keeps its record on this server. */
export async function recordFolder(context: Pick<ActionContext, 'run'>): Promise<string> {
  const { out } = await runRpm(context, ['--eval', '%{_dbpath}']);
  const folder = out.trim();
  const isFolder =
    folder.startsWith('/') &&
    (await stat(folder).then(
      (found) => found.isDirectory(),
      () => false,
    ));
  if (isFolder) return folder;
  throw new ActionError('record_lost', `rpm's record of packages is not there: ${folder}`);
}

/** The files that the record is, sorted; none of those that only say who is at work on it. */
export async function recordFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !PASSING.test(entry.name))
    .map(({ name }) => join(folder, name))
    .toSorted();
}

/** What a plan for rpms rests on: rpm's record, and everything that decides what is chosen. */
export async function rpmPreconditions(
  context: Pick<ActionContext, 'run'>,
  manager: RpmManager,
): Promise<Precondition[]> {
  const record = createHash('sha256').update(JSON.stringify(await listRpms(context)));
  return [
    { what: "rpm's record of every package", digest: `sha256:${record.digest('hex')}` },
    await settingsOf(manager),
  ];
}

/** The same of a record that rpm may be unable to read: by its files. */
export async function repairPreconditions(
  context: Pick<ActionContext, 'run'>,
  manager: RpmManager,
): Promise<Precondition[]> {
  const folder = await recordFolder(context);
  const hash = createHash('sha256');
  for (const path of await recordFiles(folder)) hash.update(`${path}\0${await sha256(path)}\0`);
  return [
    { what: `rpm's record, all files in ${folder}`, digest: `sha256:${hash.digest('hex')}` },
    await settingsOf(manager),
  ];
}

async function settingsOf({ program, settings }: RpmManager): Promise<Precondition> {
  const files = await Promise.all(settings.map((folder) => filesUnder(folder)));
  return {
    what: `repositories and settings of ${program}, all files in ${settings.join(', ')}`,
    digest: await digestOf(files.flat()),
  };
}
