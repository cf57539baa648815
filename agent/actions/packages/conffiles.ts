import { createHash } from 'node:crypto';
import { lstat, readFile, stat } from 'node:fs/promises';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import { runDpkg } from './apt-session.ts';
import { isThere, readRecord, RECORD_MAX_BYTES } from './dpkg-record.ts';
import { DPKG_STATUS } from './installed-packages.ts';

const MAX_BYTES = 16 * 1024 * 1024;

/** Configuration files of these packages (dpkg names) that the client changed: dpkg keeps them. */
export async function changedConffiles(
  context: ActionContext,
  dpkgNames: readonly string[],
): Promise<string[]> {
  const changed: string[] = [];
  for (const { path, md5 } of await recordedConffiles(context, dpkgNames)) {
    const own = await md5Of(path);
    if (own !== null && own !== md5) changed.push(path);
  }
  return changed.toSorted();
}

/** When each `.dpkg-dist`, the new version of a kept file, was last put there. */
export async function keptMarks(
  context: ActionContext,
  dpkgNames: readonly string[],
): Promise<Map<string, number>> {
  const marks = new Map<string, number>();
  for (const { path } of await recordedConffiles(context, dpkgNames)) {
    const found = await stat(`${path}.dpkg-dist`).catch(() => null);
    if (found !== null) marks.set(path, found.ctimeMs);
  }
  return marks;
}

/** A configuration file as dpkg's record has it. */
export interface RecordedConffile {
  path: string;
  md5: string;
  package: string;
}

/** Of one path, by the record of the target; null when no package that is there has brought it. */
export async function recordedConffile(
  files: TargetFiles,
  path: string,
): Promise<RecordedConffile | null> {
  const record = (await files.read(DPKG_STATUS, RECORD_MAX_BYTES)) ?? '';
  for (const paragraph of record.split('\n\n')) {
    if (!paragraph.includes(`\n ${path} `)) continue;
    const [entry] = readRecord(paragraph);
    const found = readConffiles(paragraph).find((one) => one.path === path);
    if (entry === undefined || found === undefined || !isThere(entry)) continue;
    return { ...found, package: entry.name };
  }
  return null;
}

async function recordedConffiles(
  context: ActionContext,
  dpkgNames: readonly string[],
): Promise<{ path: string; md5: string }[]> {
  if (dpkgNames.length === 0) return [];
  const argv = ['dpkg-query', '--show', '--showformat=${Conffiles}\\n', ...dpkgNames];
  const done = await runDpkg(context, argv, { output: 'capture' });
  if (done.truncated) throw new ActionError('dpkg_unreadable', 'too many configuration files');
  return readConffiles(done.out);
}

/** Files that a later version has given up are not replaced, and not listed. */
export function readConffiles(text: string): { path: string; md5: string }[] {
  return text.split('\n').flatMap((line) => {
    const [, path, md5] = /^ (\/.+) ([0-9a-f]{32})$/.exec(line) ?? [];
    return path === undefined ? [] : [{ path, md5: md5! }];
  });
}

async function md5Of(path: string): Promise<string | null> {
  const found = await lstat(path).catch(() => null);
  if (found === null || !found.isFile() || found.size > MAX_BYTES) return null;
  return createHash('md5')
    .update(await readFile(path))
    .digest('hex');
}
