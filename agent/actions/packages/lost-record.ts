import type { TargetFiles } from '../../target/target-files.ts';
import { RECORD_MAX_BYTES } from './dpkg-record.ts';

const DPKG = '/var/lib/dpkg';
/** Copies of dpkg's record, the newest first: dpkg's own, then those its daily job keeps. */
const COPIES = [`${DPKG}/status-old`, '/var/backups/dpkg.status.0'];
/** A copy may lack a few packages of late; one that lacks more is of another time. */
const MISSING_SHARE = 0.1;
const NAMES_MAX = 500_000;

/** dpkg's record is empty or gone, while packages are there. */
export interface LostRecord {
  /** A copy that fits what is there; null when there is none. */
  copy: string | null;
  /** Packages in the copy. */
  known: number;
  /** Packages whose files are there. */
  there: number;
}

/** Null while dpkg knows any package, or none is there: apt would take nothing for installed. */
export async function lostRecord(files: TargetFiles): Promise<LostRecord | null> {
  const packagesOf = async (path: string) =>
    packagesIn((await files.read(path, RECORD_MAX_BYTES)) ?? '');
  if ((await packagesOf(`${DPKG}/status`)).size > 0) return null;
  const names = await files.list(`${DPKG}/info`, NAMES_MAX);
  const there = new Set(
    names
      .filter((name) => name.endsWith('.list'))
      .map((name) => name.replace(/(?::\w+)?\.list$/, '')),
  );
  if (there.size === 0) return null;
  for (const copy of COPIES) {
    const copied = await packagesOf(copy);
    const missing = [...there].filter((name) => !copied.has(name)).length;
    if (copied.size > 0 && missing <= there.size * MISSING_SHARE) {
      return { copy, known: copied.size, there: there.size };
    }
  }
  return { copy: null, known: 0, there: there.size };
}

/** Names of the packages in a record of dpkg's. */
function packagesIn(status: string): Set<string> {
  return new Set([...status.matchAll(/^Package: (\S+)$/gm)].map((match) => match[1]!));
}
