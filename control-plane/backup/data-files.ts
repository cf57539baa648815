import {
  lstatSync,
  mkdirSync,
  openSync,
  closeSync,
  fsyncSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

export interface DataFile {
  path: string;
  mode: number;
  content: Buffer;
}

/**
 * Everything a control plane keeps in its data folder besides the database, which has its own way. Nothing else
 * is saved, and nothing else is taken from a backup: a forged one could name what the control plane would run.
 */
const DATA_FILES = ['admin-token', 'ca/ca.crt', 'ca/ca.key'];
const FILE_MAX_BYTES = 16 * 1024 * 1024;

export function isDataFile(place: string): boolean {
  return DATA_FILES.includes(place);
}

/** Those that are there. */
export function readDataFiles(directory: string): DataFile[] {
  return DATA_FILES.flatMap((place) => {
    const file = path.join(directory, place);
    const found = lstatSync(file, { throwIfNoEntry: false });
    if (found === undefined || !found.isFile()) return [];
    if (found.size > FILE_MAX_BYTES) throw new Error(`${file} is too large for a backup`);
    return [{ path: place, mode: found.mode & 0o777, content: readFileSync(file) }];
  });
}

/**
 * Writes a file that survives a power cut, below a folder that is there. Its mode is ours, whatever the backup
 * says: none of them is for anybody else, and none is run.
 */
export function writeDataFile(
  directory: string,
  { path: place, content }: Omit<DataFile, 'mode'>,
): void {
  const file = path.join(directory, place);
  const folder = path.dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(file, content, { mode: 0o600, flag: 'wx', flush: true });
  syncFolder(folder);
}

/** Makes names made or changed in a folder survive a power cut. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
