import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { CommandOptions, CommandResult } from '../../../process/command.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { packageEnvironment } from '../apt-session.ts';
import { digestOf, filesUnder, type Precondition } from '../preconditions.ts';
import { evrOf, type RpmManager, type RpmName } from './rpm-manager.ts';

/** One package of rpm's record. A name is there more than once for kernels, and after a cut-off change. */
export interface InstalledRpm extends RpmName {
  bytes: number;
}

const FORMAT = '%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{LONGSIZE}\\n';

/** Every package rpm knows, sorted; keys of repositories, which rpm keeps as packages, are not among them. */
export async function listRpms(context: Pick<ActionContext, 'run'>): Promise<InstalledRpm[]> {
  const done = await runRpm(context, ['--query', '--all', '--queryformat', FORMAT]);
  // Of a damaged record rpm gives what it can read, with status 0.
  if (done.exitStatus !== 0 || done.truncated || /error: /.test(done.err)) {
    throw new ActionError('record_damaged', `rpm cannot list packages: ${done.err.trim()}`);
  }
  return done.out
    .split('\n')
    .filter((line) => line !== '')
    .toSorted()
    .flatMap((line): InstalledRpm[] => {
      const [name, epoch, version, architecture, bytes] = line.split('\t');
      if (name === 'gpg-pubkey') return [];
      const evr = evrOf(epoch!, version!);
      return [{ name: name!, architecture: architecture!, evr, bytes: Number(bytes) || 0 }];
    });
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

/** What a plan for rpms rests on: rpm's record, and everything that decides what is chosen. */
export async function rpmPreconditions(
  context: Pick<ActionContext, 'run'>,
  { program, settings }: RpmManager,
): Promise<Precondition[]> {
  const record = createHash('sha256').update(JSON.stringify(await listRpms(context)));
  const files = await Promise.all(settings.map((folder) => filesUnder(folder)));
  return [
    { what: "rpm's record of every package", digest: `sha256:${record.digest('hex')}` },
    {
      what: `repositories and settings of ${program}, all files in ${settings.join(', ')}`,
      digest: await digestOf(files.flat()),
    },
  ];
}
