import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { inspectFolder } from '../../target/durable-folder.ts';
import { counted } from '../filesystem/counted.ts';
import { usableOf } from '../filesystem/scratch-space.ts';
import { aptError } from './apt-messages.ts';
import { runDpkg, STRICT, type AptSession } from './apt-session.ts';
import { AptProgress } from './apt-progress.ts';
import type { PlannedPackage } from './transaction.ts';

/** A planned package and the archive it comes in. */
export interface PackageArchive extends PlannedPackage {
  path: string;
  bytes: number;
  sha256: string;
}

const URI_LINE = /^'([^']+)' (\S+) (\d+) /;

export const DOWNLOAD: readonly string[] = [...STRICT, '--download-only'];

/**
 * Fetches the archives of a transaction and proves that there is exactly one for each package of it. apt
 * has checked each against the signed lists before it is named here.
 */
export async function fetchArchives(
  context: ActionContext,
  session: AptSession,
  words: readonly string[],
  packages: readonly PlannedPackage[],
): Promise<PackageArchive[]> {
  const listed = await session.run(
    [...STRICT, '-o', 'Debug::NoLocking=true', '--print-uris', ...words],
    { output: 'capture' },
  );
  if (listed.exitStatus !== 0) throw aptError(listed);
  const sources = readUris(listed.out, session.archives);
  await checkRoom(
    session,
    sources.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  const progress = new AptProgress(context, 'fetching');
  const done = await session.run(
    [...DOWNLOAD, '-o', 'Debug::NoLocking=true', ...progress.words, ...words],
    { output: 'both', onDescriptor: (bytes) => progress.take(bytes), signal: context.signal },
  );
  if (done.exitStatus !== 0) throw aptError(done);
  return identify(context, sources, packages);
}

/** Local sources (`file:`) are used where they lie; apt copies none of them. */
export function readUris(text: string, archives: string): { path: string; bytes: number }[] {
  return text.split('\n').flatMap((line) => {
    const [, uri, name, bytes] = URI_LINE.exec(line) ?? [];
    if (uri === undefined) return [];
    const path = uri.startsWith('file:')
      ? fileURLToPath(uri.replace(/^file:\/*/, 'file:///'))
      : join(archives, name!);
    return [{ path, bytes: Number(bytes) }];
  });
}

async function checkRoom(session: AptSession, bytes: number): Promise<void> {
  const usable = usableOf(await inspectFolder(session.archives));
  if (usable >= bytes) return;
  throw new ActionError(
    'no_space',
    `${session.archives} has room for ${usable} bytes, the archives need ${bytes}. Nothing was changed.`,
  );
}

async function identify(
  context: ActionContext,
  sources: readonly { path: string }[],
  packages: readonly PlannedPackage[],
): Promise<PackageArchive[]> {
  const archives: PackageArchive[] = [];
  for (const { path } of sources) {
    const { name, version, architecture } = await archiveIdentity(context, path);
    const planned = packages.find(
      (entry) => entry.name === name && entry.architecture === architecture && entry.to === version,
    );
    if (planned === undefined) {
      throw new ActionError(
        'download_failed',
        `the source gives ${name} ${version} (${architecture}), which is not what was asked for`,
      );
    }
    const { size } = await stat(path);
    archives.push({ ...planned, path, bytes: size, sha256: await sha256(path) });
  }
  if (archives.length !== packages.length) {
    throw new ActionError(
      'download_failed',
      `${counted(archives.length, 'archive', 'archives')} came for ${counted(packages.length, 'package', 'packages')}`,
    );
  }
  const order = new Map(packages.map((entry, at) => [`${entry.name}:${entry.architecture}`, at]));
  const place = (entry: PlannedPackage) => order.get(`${entry.name}:${entry.architecture}`)!;
  return archives.toSorted((a, b) => place(a) - place(b));
}

export async function archiveIdentity(
  context: Pick<ActionContext, 'run'>,
  path: string,
): Promise<{ name: string; version: string; architecture: string }> {
  const format = '--showformat=${Package}\\t${Version}\\t${Architecture}\\n';
  const done = await runDpkg(context, ['dpkg-deb', '--show', format, path], { output: 'capture' });
  const [name, version, architecture] = done.out.trim().split('\t');
  if (done.exitStatus !== 0 || architecture === undefined) {
    throw new ActionError('download_failed', `${path} is no package: ${done.err.trim()}`);
  }
  return { name: name!, version: version!, architecture };
}

export async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}
