import { rm } from 'node:fs/promises';
import { CommandStartError } from '../../../process/command-start-error.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../../runner/action.ts';
import type { BackupSuperblock } from './backup-superblock.ts';
import { syncAndDigest } from '../durable-write.ts';

/** Thrown when e2image cannot follow the metadata of a damaged file system. */
export class MetadataUnreadableError extends Error {
  override name = 'MetadataUnreadableError';
}

interface ImageOptions {
  device: string;
  superblock: Pick<BackupSuperblock, 'block' | 'blockSize'> | null;
  /** A new file; qcow2, so that its bytes are all there is to digest. */
  path: string;
  /** It will not become longer than this. */
  maxBytes: number;
}

/** On damaged group descriptors e2image can complain for ever. */
const MAX_COMPLAINT_BYTES = 64 * 1024;
const UNREADABLE = /input\/output error|resulted in short read/i;

/** The words that save the metadata of a file system, without the files' data. */
export function imageCommand(options: Omit<ImageOptions, 'maxBytes'>): string[] {
  const { device, superblock, path } = options;
  return [
    'e2image',
    '-Q',
    ...(superblock === null ? [] : ['-b', `${superblock.block}`, '-B', `${superblock.blockSize}`]),
    device,
    path,
  ];
}

/**
 * Saves the metadata of a file system, durably; the same metadata gives the same bytes. Throws ActionError
 * `hardware_failing`, `no_space` when it would become longer than allowed, and MetadataUnreadableError.
 */
export async function makeMetadataImage(
  context: Pick<ActionContext, 'run' | 'signal'>,
  options: ImageOptions,
): Promise<SavedBackup> {
  const limit = ['prlimit', `--fsize=${options.maxBytes}`, '--core=0', '--'];
  const complaints = await runE2image(context, [...limit, ...imageCommand(options)]);
  if (complaints === null) return syncAndDigest(options.path);
  await rm(options.path, { force: true });
  if (/error writing block/.test(complaints)) {
    throw new ActionError(
      'no_space',
      `the metadata does not fit in the ${options.maxBytes} bytes that may be used for it`,
    );
  }
  throw new MetadataUnreadableError(complaints.trim().slice(0, 500));
}

/** Makes of a saved image a sparse file of the file system's size, which tools take for a device. */
export async function unpackMetadataImage(
  context: Pick<ActionContext, 'run' | 'signal'>,
  image: string,
  path: string,
): Promise<void> {
  const complaints = await runE2image(context, ['e2image', '-r', image, path]);
  if (complaints === null) return;
  await rm(path, { force: true });
  throw new ActionError('no_scratch_space', `the copy could not be unpacked: ${complaints.trim()}`);
}

/** Returns what it complained of when it failed, null when it did not. */
async function runE2image(
  context: Pick<ActionContext, 'run' | 'signal'>,
  argv: readonly string[],
): Promise<string | null> {
  const enough = new AbortController();
  let complaints = '';
  const done = await context
    .run(argv, {
      output: 'capture',
      signal: AbortSignal.any([context.signal, enough.signal]),
      onOutput(_, bytes) {
        // It goes on after a block it cannot read, and exits as if all were well.
        if (complaints.length < MAX_COMPLAINT_BYTES) complaints += bytes.toString('latin1');
        if (complaints.length >= MAX_COMPLAINT_BYTES || UNREADABLE.test(complaints)) enough.abort();
      },
    })
    .catch((error: unknown) => {
      if (!(error instanceof CommandStartError)) throw error;
      throw new ActionError('tool_missing', `e2image cannot be run here: ${error.message}`);
    });
  if (context.signal.aborted)
    throw new ActionError('stopped', 'stopped while copying the metadata');
  if (UNREADABLE.test(complaints)) {
    throw new ActionError('hardware_failing', 'the disk cannot give all of the metadata');
  }
  if (done.exitStatus === 0 && !enough.signal.aborted) return null;
  return complaints.replace(/^e2image \d.*\n/, '') || `exit status ${done.exitStatus}`;
}
