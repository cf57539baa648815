import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, lstat, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { runDpkg } from './apt-session.ts';
import type { InstalledPackage } from './installed-packages.ts';

const INFO = '/var/lib/dpkg/info';
/** dpkg's own notes in its record of a package; they are no part of the package. */
const RECORD_ONLY = new Set([
  'Status',
  'Conffiles',
  'Config-Version',
  'Triggers-Pending',
  'Triggers-Awaited',
]);

/**
 * Packs an installed package into an archive again, from its files as they are now (deb(5)), as
 * dpkg-repack(1) does. Files that are not there are left out.
 */
export async function repack(
  context: ActionContext,
  entry: InstalledPackage,
  path: string,
): Promise<void> {
  const scratch = `${path}.parts`;
  await mkdir(join(scratch, 'control'), { recursive: true, mode: 0o700 });
  try {
    const data = join(scratch, 'data.tar');
    const control = join(scratch, 'control.tar');
    await packFiles(context, await presentFiles(await filesOf(entry)), data);
    await writeControl(context, entry, join(scratch, 'control'));
    const tar = ['tar', '--create', `--file=${control}`, '--owner=root:0', '--group=root:0'];
    await must(context, [...tar, `--directory=${join(scratch, 'control')}`, '.']);
    const version = join(scratch, 'debian-binary');
    await writeFile(version, '2.0\n');
    await writeArchive(path, [version, control, data]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  await must(context, ['dpkg-deb', '--info', path]);
}

/** What dpkg installed of a package, folders among it. Throws ActionError without such a list. */
export async function filesOf(entry: InstalledPackage): Promise<string[]> {
  const names = [entry.dpkgName, entry.name, `${entry.name}:${entry.architecture}`];
  for (const name of names) {
    const text = await readFile(join(INFO, `${name}.list`), 'utf8').catch(() => null);
    if (text !== null) return text.split('\n').filter((line) => line.startsWith('/'));
  }
  throw new ActionError('dpkg_unreadable', `dpkg has no list of the files of ${entry.name}`);
}

/** Leaves out what is gone, and symlinks that other packages keep in place of a folder, such as /lib. */
async function presentFiles(files: readonly string[]): Promise<string[]> {
  const parents = new Set(files.map((file) => file.slice(0, file.lastIndexOf('/'))));
  const present: string[] = [];
  for (const file of files) {
    const found = await lstat(file).catch(() => null);
    if (found === null || (found.isSymbolicLink() && parents.has(file))) continue;
    present.push(file);
  }
  return present;
}

async function packFiles(
  context: ActionContext,
  files: readonly string[],
  path: string,
): Promise<void> {
  const list = `${path}.list`;
  await writeFile(list, files.map((file) => `.${file}\0`).join(''));
  const tar = ['tar', '--create', `--file=${path}`, '--format=gnu', '--no-recursion'];
  const from = ['--directory=/', '--null', '--verbatim-files-from', `--files-from=${list}`];
  await must(context, [...tar, ...from]);
}

async function writeControl(
  context: ActionContext,
  entry: InstalledPackage,
  folder: string,
): Promise<void> {
  const status = await must(context, ['dpkg-query', '--status', entry.dpkgName]);
  await writeFile(join(folder, 'control'), controlOf(status));
  const paths = await must(context, ['dpkg-query', '--control-path', entry.dpkgName]);
  for (const path of paths.split('\n').filter((line) => line !== '')) {
    const kind = basename(path).slice(basename(path).lastIndexOf('.') + 1);
    await copyFile(path, join(folder, kind));
  }
}

/** dpkg's record of a package, without what only the record has. */
export function controlOf(status: string): string {
  const fields = status.trimEnd().split(/\n(?=\S)/);
  const kept = fields.filter((field) => !RECORD_ONLY.has(field.slice(0, field.indexOf(':'))));
  return `${kept.join('\n')}\n`;
}

/** An archive of ar(5), which every .deb is. */
async function writeArchive(path: string, members: readonly string[]): Promise<void> {
  const out = createWriteStream(path, { mode: 0o600 });
  await pipeline(async function* () {
    yield Buffer.from('!<arch>\n');
    for (const member of members) {
      const { size } = await stat(member);
      const name = basename(member).padEnd(16);
      yield Buffer.from(
        `${name}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(size).padEnd(10)}\`\n`,
      );
      yield* createReadStream(member);
      if (size % 2 === 1) yield Buffer.from('\n');
    }
  }, out);
}

async function must(context: ActionContext, argv: readonly string[]): Promise<string> {
  const done = await runDpkg(context, argv, { output: 'capture', signal: context.signal });
  if (done.exitStatus === 0) return done.out;
  const said = done.err.trim().slice(0, 500);
  throw new ActionError('backup_failed', `${argv[0]} ended with ${done.exitStatus}: ${said}`);
}
