import { createHash } from 'node:crypto';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { TargetFiles } from '../../../target/target-files.ts';
import { LineReader } from '../line-reader.ts';
import { nvra, type RpmName } from './rpm-manager.ts';
import { runRpmProgram } from './rpm-records.ts';

/** A file of a package that the client may change. */
export interface ConfigFile {
  path: string;
  digest: string;
  /** Names of node:crypto. */
  algorithm: string;
  /** A changed one stays where it is; else rpm puts the package's in its place. */
  staysAsItIs: boolean;
}

/** rpmfile.h */
const CONFIG = 1 << 0;
const NOREPLACE = 1 << 4;
const GHOST = 1 << 6;
/** RFC 4880, 9.4; rpm leaves MD5 unsaid. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  '1': 'md5',
  '(none)': 'md5',
  '2': 'sha1',
  '8': 'sha256',
  '9': 'sha384',
  '10': 'sha512',
};
const MAX_BYTES = 16 * 1024 * 1024;
const FORMAT = '%{FILEDIGESTALGO}\\n[%{FILEFLAGS}\\t%{FILEDIGESTS}\\t%{FILENAMES}\\n]';

/** Null for what is no configuration file. */
export function readConfigFile(
  flags: number,
  digest: string,
  path: string,
  algorithm: string,
): ConfigFile | null {
  if ((flags & CONFIG) === 0 || (flags & GHOST) !== 0 || digest === '') return null;
  const name = ALGORITHMS[algorithm];
  if (name === undefined) return null;
  return { path, digest, algorithm: name, staysAsItIs: (flags & NOREPLACE) !== 0 };
}

/**
 * Which of the client's configuration files a new version would leave as they are, with its own beside them.
 * Throws ActionError `would_replace_config` for those that rpm would move aside.
 *
 * @param earlier the version that is there; null for a package that is new
 */
export async function keptConfigFiles(
  context: ActionContext,
  offered: readonly ConfigFile[],
  earlier: RpmName | null,
): Promise<string[]> {
  if (offered.length === 0) return [];
  const own = earlier === null ? new Map() : await installedConfigFiles(context, earlier);
  const files = new TargetFiles();
  const kept: string[] = [];
  const replaced: string[] = [];
  for (const file of offered) {
    const before: ConfigFile | undefined = own.get(file.path);
    if (before !== undefined && before.digest === file.digest) continue;
    const bytes = await files.readBytes(file.path, MAX_BYTES).catch(() => null);
    if (bytes === null) continue;
    const isAs = (one: ConfigFile) =>
      createHash(one.algorithm).update(bytes).digest('hex') === one.digest;
    if (isAs(file) || (before !== undefined && isAs(before))) continue;
    (file.staysAsItIs ? kept : replaced).push(file.path);
  }
  if (replaced.length === 0) return kept;
  throw new ActionError(
    'would_replace_config',
    `rpm would move these aside and put the package's own in their place: ${replaced.slice(0, 12).join(', ')}. Nothing was changed: install it by hand, or put the package's earlier file back first.`,
  );
}

async function installedConfigFiles(
  context: ActionContext,
  entry: RpmName,
): Promise<Map<string, ConfigFile>> {
  const found = new Map<string, ConfigFile>();
  let algorithm: string | null = null;
  const reader = new LineReader((line) => {
    if (algorithm === null) {
      algorithm = line;
      return;
    }
    const [flags, digest, path] = line.split('\t');
    if (path === undefined) return;
    const file = readConfigFile(Number(flags), digest!, path, algorithm);
    if (file !== null) found.set(path, file);
  });
  await runRpmProgram(context, ['rpm', '--query', '--queryformat', FORMAT, nvra(entry)], {
    output: 'capture',
    onOutput: (channel, bytes) => channel === 'out' && reader.take(bytes),
  });
  return found;
}
