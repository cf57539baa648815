import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';

/**
 * Writes a file so that after a crash or a power cut either the old or the new content is there, whole.
 * The file gets exactly `mode`, whatever the umask.
 */
export async function writeDurably(
  file: string,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  const draft = `${file}.${process.pid}.new`;
  try {
    const handle = await open(draft, 'w', mode);
    try {
      await handle.chmod(mode);
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncDirectory(path.dirname(file));
}

/** Makes names created, renamed or removed in a directory survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
