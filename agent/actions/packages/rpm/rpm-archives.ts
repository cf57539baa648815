import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { unitsOf } from '../archive-contents.ts';
import { LineReader } from '../line-reader.ts';
import { sha256 } from '../package-archives.ts';
import { readConfigFile, type ConfigFile } from './rpm-config-files.ts';
import { evrOf, nvra, type RpmName } from './rpm-manager.ts';
import { runRpm, runRpmProgram } from './rpm-records.ts';

/** An .rpm that was fetched, and what stands in it. */
export interface RpmArchive extends RpmName {
  path: string;
  bytes: number;
  sha256: string;
  bytesByFolder: Map<string, number>;
  configFiles: ConfigFile[];
  units: string[];
  /** Programs that run when it is installed, and when it is taken away. */
  scripts: string;
  /** rpm has the key of whoever signed it. */
  isSigned: boolean;
}

const HEAD = 'p\\t%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{FILEDIGESTALGO}\\n';
const FILES = '[f\\t%{FILEFLAGS}\\t%{LONGFILESIZES}\\t%{FILEDIGESTS}\\t%{FILENAMES}\\n]';
const SCRIPTS =
  '%{PREIN}\\n%{POSTIN}\\n%{PREUN}\\n%{POSTUN}\\n%{PRETRANS}\\n%{POSTTRANS}\\n[%{FILETRIGGERSCRIPTS}\\n][%{TRANSFILETRIGGERSCRIPTS}\\n]';

/** Reads every .rpm below a folder, which need not be there, without running anything of it. */
export async function readRpmsIn(context: ActionContext, folder: string): Promise<RpmArchive[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const archives: RpmArchive[] = [];
  for (const name of names.filter((one) => one.endsWith('.rpm')).toSorted()) {
    archives.push(await readRpm(context, join(folder, name)));
  }
  return archives;
}

/** Throws ActionError `download_failed` where rpm cannot read it. */
async function readRpm(context: ActionContext, path: string): Promise<RpmArchive> {
  let head: RpmName | null = null;
  let algorithm = '';
  const bytesByFolder = new Map<string, number>();
  const configFiles: ConfigFile[] = [];
  const files: string[] = [];
  const reader = new LineReader((line) => {
    const [kind, first, second, third, fourth, fifth] = line.split('\t');
    if (kind === 'p') {
      head = { name: first!, architecture: fourth!, evr: evrOf(second!, third!) };
      algorithm = fifth!;
    } else if (kind === 'f' && fourth?.startsWith('/')) {
      const at = fourth.slice(0, fourth.lastIndexOf('/')) || '/';
      bytesByFolder.set(at, (bytesByFolder.get(at) ?? 0) + (Number(second) || 0));
      const config = readConfigFile(Number(first), third!, fourth, algorithm);
      if (config !== null) configFiles.push(config);
      files.push(fourth);
    }
  });
  const query = ['rpm', '--query', '--package', '--nosignature', '--queryformat'];
  const listed = await runRpmProgram(context, [...query, `${HEAD}${FILES}`, path], {
    output: 'capture',
    onOutput: (channel, bytes) => channel === 'out' && reader.take(bytes),
  });
  const scripts = await runRpmProgram(context, [...query, SCRIPTS, path]);
  const found = head as RpmName | null;
  if (listed.exitStatus !== 0 || scripts.exitStatus !== 0 || found === null) {
    throw new ActionError('download_failed', `${path}: ${listed.err}${scripts.err}`);
  }
  const signed = await runRpmProgram(context, ['rpmkeys', '--checksig', path]);
  return {
    ...found,
    path,
    bytes: (await stat(path)).size,
    sha256: await sha256(path),
    bytesByFolder,
    configFiles,
    units: unitsOf(files),
    scripts: scripts.out,
    isSigned: signed.exitStatus === 0 && / signatures OK$/m.test(signed.out),
  };
}

/** Of the version that is there: its services, and its programs that run when it goes. */
export async function installedScripts(
  context: ActionContext,
  entry: RpmName,
): Promise<{ units: string[]; scripts: string }> {
  const [files, scripts] = await Promise.all([
    runRpm(context, ['--query', '--list', nvra(entry)]),
    runRpm(context, ['--query', '--queryformat', SCRIPTS, nvra(entry)]),
  ]);
  return { units: unitsOf(files.out.split('\n')), scripts: scripts.out };
}
