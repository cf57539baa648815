import { createHash } from 'node:crypto';
import { packagesRepairParameters } from '../../../proto/actions/packages.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetFileError, type TargetFiles } from '../../target/target-files.ts';
import { listed } from './change-plan.ts';
import { compareVersions } from './debian-version.ts';
import {
  isThere,
  lackingIn,
  readRecord,
  RECORD_MAX_BYTES,
  unfinishedIn,
  wrongHoldsIn,
  type RecordedPackage,
} from './dpkg-record.ts';
import { DPKG_STATUS } from './installed-packages.ts';
import { holdsToRelease, wrongHoldText } from './wrong-holds.ts';

const CACHE = '/var/cache/apt/archives';
const UPDATES = '/var/lib/dpkg/updates';
const ARCHIVES_MAX = 24;
/** No package of a server is larger. */
const ARCHIVE_MAX_BYTES = 1024 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;

/** What is to be done to the packages of a system on disks. */
export interface DiskWork {
  record: RecordedPackage[];
  /** dpkg was cut off while it wrote its record. */
  isInterrupted: boolean;
  unfinished: RecordedPackage[];
  /** Archives that the system keeps and that are installed, in full. */
  archives: { path: string; name: string; digest: string }[];
  /** Packages that are held back and are to be held no longer. */
  released: string[];
  findings: string[];
}

export async function readState(
  files: TargetFiles,
): Promise<Pick<DiskWork, 'record' | 'isInterrupted' | 'unfinished'>> {
  const record = readRecord((await files.read(DPKG_STATUS, RECORD_MAX_BYTES)) ?? '');
  const names = await files.list(UPDATES);
  return {
    record,
    isInterrupted: names.some((name) => /^\d+$/.test(name)),
    unfinished: unfinishedIn(record),
  };
}

/** What is still wrong, in a sentence; also that a package is gone which was there before. */
export function faultOf(
  { record, isInterrupted, unfinished }: Pick<DiskWork, 'record' | 'isInterrupted' | 'unfinished'>,
  before: readonly RecordedPackage[],
): string | null {
  if (isInterrupted) return 'dpkg is still in the middle of something.';
  const [open] = unfinished;
  if (open !== undefined) return `${open.name} is still ${open.state}.`;
  const [lacking] = lackingIn(record);
  if (lacking !== undefined) return `${lacking.by} still needs ${lacking.name}.`;
  const there = new Set(record.filter(isThere).map(({ name }) => name));
  const gone = before.filter((entry) => isThere(entry) && !there.has(entry.name));
  return gone.length === 0 ? null : `${listed(gone.map(({ name }) => name))} would be removed.`;
}

/** Throws ActionError `packages_not_named` and `archive_missing` for what cannot be brought in. */
export async function findWork(context: ActionContext, target: Target): Promise<DiskWork> {
  const state = await readState(target.files);
  const { record, isInterrupted, unfinished } = state;
  const lacking = lackingIn(record);
  const anew = record.filter((entry) => entry.needsReinstall);
  const wanted = new Set([...lacking, ...anew].map(({ name }) => name));
  requireNamed(
    context,
    lacking.map(({ name }) => name),
  );
  const wrongHolds = wrongHoldsIn(record, lacking);
  return {
    ...state,
    released: holdsToRelease(context, wrongHolds),
    archives: await archivesFor(context, target, [...wanted], record),
    findings: [
      ...(isInterrupted ? ['dpkg was interrupted while it changed packages'] : []),
      ...unfinished.map(({ name, state: is }) => `${name} is ${is}`),
      ...anew.map(({ name }) => `${name} cannot be used until it is installed anew`),
      ...wrongHolds.map(wrongHoldText),
      ...lacking
        .filter((one) => !wrongHolds.includes(one))
        .map(({ name, by }) => `${by} needs ${name}, which is not there`),
    ].slice(0, 100),
  };
}

/** Nothing comes into the system that the client has not named. */
function requireNamed(context: ActionContext, lacking: readonly string[]): void {
  const { packages = [] } = packagesRepairParameters.parse(context.spec.parameters);
  const missing = lacking.filter((name) => !packages.includes(name));
  if (missing.length === 0) return;
  throw new ActionError(
    'packages_not_named',
    `the repair needs ${listed(missing, 24)}: name them with the parameter packages. Nothing was changed.`,
  );
}

/** The newest archive of each that the system has kept: nothing is fetched for a system that does not run. */
async function archivesFor(
  { signal }: Pick<ActionContext, 'signal'>,
  { files }: Target,
  names: readonly string[],
  record: readonly RecordedPackage[],
): Promise<DiskWork['archives']> {
  if (names.length > ARCHIVES_MAX) {
    const text = `${names.length} packages must be brought in: ${listed(names)}. That is no repair any more.`;
    throw new ActionError('too_many_packages', text);
  }
  const kept = (await files.list(CACHE)).flatMap((entry) => {
    const [, name, version, architecture] = /^([^_]+)_([^_]+)_([^_]+)\.deb$/.exec(entry) ?? [];
    if (name === undefined || version === undefined) return [];
    return [{ entry, name, version: version.replaceAll('%3a', ':'), architecture }];
  });
  const own = new Set(record.map(({ architecture }) => architecture));
  const archives = [];
  for (const name of names) {
    const [newest] = kept
      .filter((one) => one.name === name && own.has(one.architecture!))
      .toSorted((one, other) => compareVersions(other.version, one.version));
    const path = `${CACHE}/${newest?.entry ?? ''}`;
    const digest = newest === undefined ? null : await digestOf(files, path, signal);
    if (digest === null) {
      throw new ActionError(
        'archive_missing',
        `${name} must be brought in, and the system keeps no archive of it in ${CACHE}. Put one there, or repair its packages once it runs. Nothing was changed.`,
      );
    }
    archives.push({ path, name, digest });
  }
  return archives;
}

/** Null when it is not there. Throws ActionError `archive_unusable` for what is no archive of a package. */
async function digestOf(
  files: TargetFiles,
  path: string,
  signal: AbortSignal,
): Promise<string | null> {
  const unusable = (why: string) =>
    new ActionError('archive_unusable', `${path} is ${why}. Nothing was changed.`);
  const file = await files.openPlain(path).catch((error: unknown) => {
    if (error instanceof TargetFileError) throw unusable('no plain file');
    throw error;
  });
  if (file === null) return null;
  try {
    if ((await file.stat()).size > ARCHIVE_MAX_BYTES) throw unusable('larger than any package');
    const hash = createHash('sha256');
    const piece = Buffer.alloc(PIECE_BYTES);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return `sha256:${hash.digest('hex')}`;
      hash.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
