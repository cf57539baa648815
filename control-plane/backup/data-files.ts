import {
  lstatSync,
  mkdirSync,
  openSync,
  closeSync,
  fsyncSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

export interface DataFile {
  path: string;
  mode: number;
  content: Buffer;
}

/** The database has its own way, and these are made anew or say only how it went. */
const LEFT_OUT = new Set(['postgres', 'control-plane.pid', 'control-plane.log', 'lost+found']);
const FILE_MAX_BYTES = 16 * 1024 * 1024;

/** Everything a control plane keeps in its data folder besides the database: keys above all. */
export function readDataFiles(directory: string, below = ''): DataFile[] {
  return readdirSync(path.join(directory, below))
    .filter((name) => below !== '' || !LEFT_OUT.has(name))
    .filter((name) => !name.endsWith('.new'))
    .toSorted()
    .flatMap((name) => {
      const place = path.join(below, name);
      const file = path.join(directory, place);
      const found = lstatSync(file);
      if (found.isDirectory()) return readDataFiles(directory, place);
      if (!found.isFile()) return [];
      if (found.size > FILE_MAX_BYTES) throw new Error(`${file} is too large for a backup`);
      return { path: place, mode: found.mode & 0o777, content: readFileSync(file) };
    });
}

/** Writes a file that survives a power cut, below a folder that is there. */
export function writeDataFile(directory: string, { path: place, mode, content }: DataFile): void {
  const file = path.join(directory, place);
  const folder = path.dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(file, content, { mode, flag: 'wx', flush: true });
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
