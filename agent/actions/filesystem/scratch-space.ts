import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import { inspectFolder, type FolderStorage } from '../../target/durable-folder.ts';

const MAX_RESERVE = 256 * 1024 * 1024;

/** Where a job puts what it throws away again. */
export async function scratchFolder(context: Pick<ActionContext, 'directory'>): Promise<string> {
  const path = join(context.directory, 'scratch');
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

/** What may be written to a folder without filling up what the rest of the machine lives on. */
export async function usableBytes(path: string): Promise<number> {
  return usableOf(await inspectFolder(path));
}

export function usableOf(storage: Pick<FolderStorage, 'freeBytes' | 'totalBytes'>): number {
  const reserve = Math.min(MAX_RESERVE, Math.floor(storage.totalBytes / 20));
  return Math.max(0, storage.freeBytes - reserve);
}
