import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetFileError } from '../../target/target-files.ts';
import type { FileAttributes } from '../files/file-state.ts';
import { readState } from '../files/file-state.ts';
import { runDpkg } from './apt-session.ts';
import { TarReader, type TarFile } from './tar-reader.ts';

/** The C library has 2 MB; what is far larger is not looked at. */
export const LIBC_MAX_BYTES = 16 * 1024 * 1024;
/** Where people and programs put a file that they take out of its place. */
const PLACES = [
  '/var/tmp',
  '/tmp',
  '/root',
  '/home',
  '/opt',
  '/var/backups',
  '/usr/local/lib',
  '/',
];
const DEPTH = 2;
const LOOKED_AT_MAX = 5000;
const CACHE = '/var/cache/apt/archives';
/** That of the C library has 3 MB. */
const ARCHIVE_MAX_BYTES = 64 * 1024 * 1024;
/** It unpacks to 13 MB, and a small archive to anything: it is read as it comes, and no further than that. */
const UNPACKED_MAX_BYTES = 512 * 1024 * 1024;
const READ_WITHIN_MS = 60_000;

/** A file that a package brought, as dpkg knows it. */
export interface PackagedFile {
  /** Absolute in the target. */
  path: string;
  md5: string;
  /** `libc6:amd64`, or without the architecture. */
  package: string;
}

/** Content of a file that was lost, proven by the sum that its package came with. */
export interface FoundContent {
  bytes: Buffer;
  mode: number;
  /** Where it lies: a file of the target, or an archive. */
  from: string;
}

/** Looks for lost files where they may lie, then in the archives that the target keeps. Changes nothing. */
export async function findLostFiles(
  context: ActionContext,
  target: Target,
  lost: readonly PackagedFile[],
): Promise<Map<string, FoundContent>> {
  const found = await lyingAbout(target, lost);
  const missing = lost.filter(({ path }) => !found.has(path));
  return new Map([...found, ...(await findInArchives(context, target, missing))]);
}

/** Looks for them in the archives that the target keeps, of whatever version: their sums prove them. */
export async function findInArchives(
  context: ActionContext,
  target: Target,
  wanted: readonly PackagedFile[],
): Promise<Map<string, FoundContent>> {
  const found = new Map<string, FoundContent>();
  for (const name of new Set(wanted.map((file) => file.package))) {
    const own = wanted.filter((file) => file.package === name);
    await fromArchive(context, target, name, own, found);
  }
  return found;
}

async function lyingAbout(
  target: Target,
  lost: readonly PackagedFile[],
): Promise<Map<string, FoundContent>> {
  const found = new Map<string, FoundContent>();
  const own = [...new Set(lost.map(({ path }) => dirname(path)))];
  let left = LOOKED_AT_MAX;
  const look = async (folder: string, depth: number): Promise<void> => {
    for (const name of await target.files.list(folder)) {
      if (found.size === lost.length || left-- <= 0) return;
      const path = join(folder, name);
      const stats = await target.files.lstat(path);
      if (stats?.isDirectory() === true) {
        if (depth > 1) await look(path, depth - 1);
        continue;
      }
      if (stats?.isFile() !== true || stats.size === 0 || stats.size > LIBC_MAX_BYTES) continue;
      const state = await readState(target.root, path, false, LIBC_MAX_BYTES).catch(passOver);
      if (state === null || !isProgram(state.bytes)) continue;
      take(found, lost, state, path);
    }
  };
  for (const folder of [...own, ...PLACES]) await look(folder, own.includes(folder) ? 1 : DEPTH);
  return found;
}

async function fromArchive(
  context: ActionContext,
  target: Target,
  name: string,
  lost: readonly PackagedFile[],
  found: Map<string, FoundContent>,
): Promise<void> {
  const [plain] = name.split(':');
  const archives = (await target.files.list(CACHE)).filter(
    (entry) => entry.startsWith(`${plain}_`) && entry.endsWith('.deb'),
  );
  for (const archive of archives) {
    const stats = await target.files.stat(`${CACHE}/${archive}`);
    const path = await target.files.locate(`${CACHE}/${archive}`);
    if (path === null || stats?.isFile() !== true || stats.size > ARCHIVE_MAX_BYTES) continue;
    const fault = await readFiles(context, path, lost, (file) =>
      take(found, lost, file, `${CACHE}/${archive}`),
    );
    if (fault !== null) context.note(`${CACHE}/${archive} is read no further: ${fault}.`);
  }
}

/** Hands over what lies at the paths of lost files, and says why not all of the archive was read. */
async function readFiles(
  context: ActionContext,
  path: string,
  lost: readonly PackagedFile[],
  onFile: (file: TarFile) => void,
): Promise<string | null> {
  const paths = new Set(lost.map((file) => file.path));
  const wants = (file: string, bytes: number) => bytes <= LIBC_MAX_BYTES && paths.has(file);
  const reader = new TarReader(wants, onFile);
  const stop = new AbortController();
  let left = UNPACKED_MAX_BYTES;
  const { exitStatus, timedOut } = await runDpkg(context, ['dpkg-deb', '--fsys-tarfile', path], {
    output: 'capture',
    signal: AbortSignal.any([context.signal, stop.signal]),
    timeoutMs: READ_WITHIN_MS,
    onOutput: (channel, bytes) => {
      if (channel === 'err' || left < 0) return;
      left -= bytes.length;
      reader.take(bytes);
      if (left < 0 || reader.fault !== null) stop.abort();
    },
  });
  context.signal.throwIfAborted();
  if (reader.fault !== null) return reader.fault;
  if (left < 0) return `unpacked it has more than ${UNPACKED_MAX_BYTES} bytes`;
  if (timedOut) return `it took longer than ${READ_WITHIN_MS / 1000} s`;
  return exitStatus === 0 ? null : 'dpkg-deb cannot read it';
}

function take(
  found: Map<string, FoundContent>,
  lost: readonly PackagedFile[],
  { bytes, mode }: Pick<FileAttributes, 'mode'> & { bytes: Buffer },
  from: string,
): void {
  const sum = createHash('md5').update(bytes).digest('hex');
  for (const { path, md5 } of lost) {
    if (md5 === sum && !found.has(path)) found.set(path, { bytes, mode: mode & 0o755, from });
  }
}

function isProgram(bytes: Buffer): boolean {
  return bytes.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
}

/** What is no plain file is not what is looked for. */
function passOver(error: unknown): null {
  if (error instanceof ActionError || error instanceof TargetFileError) return null;
  throw error;
}
