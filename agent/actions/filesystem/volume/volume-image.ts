import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { digest } from '../../../../proto/documents/fields.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../../runner/action.ts';
import type { BlockDevice } from '../../../target/block-device.ts';
import { digestDevice } from '../device-digest.ts';
import { openDevice, readDevice, syncDevice, writeDevice } from '../device-io.ts';
import { syncAndDigest, writeBackup } from '../durable-write.ts';
import { copySparsely } from '../sparse-copy.ts';

type Context = Pick<ActionContext, 'signal' | 'progress'>;

/** Larger ones are not kept whole: their repair cannot be undone, and the plan says so. */
export const IMAGE_MAX_BYTES = 4 * 1024 ** 3;

const IMAGE = 'volume.img';
const BEFORE = 'volume-before.json';
const AFTER = 'volume-after.json';
const PIECE_BYTES = 1024 * 1024;

const beforeSchema = z.strictObject({
  version: z.literal(1),
  device: z.string(),
  bytes: z.int(),
  digest,
});

/** SHA-256 of each piece, so that a mixture of before and after is known for what it is. */
const afterSchema = z.strictObject({ version: z.literal(1), pieces: z.array(z.string()) });

/** Whether a job kept the whole of what it repaired. */
export function hasVolumeImage(undone: ActionContext['undone']): boolean {
  return (undone?.records ?? []).some(
    (record) =>
      record.type === 'step_saved' && record.backups.some(({ path }) => path.endsWith(`/${IMAGE}`)),
  );
}

/** Every byte of a device, as a file; durable when this returns. */
export async function saveImage(
  context: Context,
  device: BlockDevice,
  folder: string,
  maxBytes: number,
): Promise<{ backups: SavedBackup[]; digest: string }> {
  const path = join(folder, IMAGE);
  const source = await openDevice(device, 'read');
  try {
    const copied = await copySparsely(context, device, source, path, maxBytes);
    const record = { version: 1, device: device.path, bytes: device.bytes, digest: copied.digest };
    const backups = [
      await syncAndDigest(path),
      await writeBackup(join(folder, BEFORE), JSON.stringify(record)),
    ];
    return { backups, digest: copied.digest };
  } finally {
    await source.close();
  }
}

/** Notes what the repair left, so that an undo can tell whether somebody used the device since. */
export async function noteAfter(
  context: Context,
  device: BlockDevice,
  folder: string,
): Promise<void> {
  const pieces: string[] = [];
  await eachPiece(context, device, 'read', async (_, bytes) => {
    pieces.push(hashOf(bytes));
  });
  await writeBackup(join(folder, AFTER), JSON.stringify({ version: 1, pieces }));
}

/**
 * Writes back every byte that differs and reads the whole device again; returns how many were written. May
 * be cut off and begun again. Throws ActionError `changed_since` when a part of the device is neither as
 * before the repair nor as it left it; of a repair that never came to its end nobody knows what it left.
 */
export async function restoreImage(
  context: Context,
  device: BlockDevice,
  folder: string,
): Promise<number> {
  const before = beforeSchema.parse(JSON.parse(await readFile(join(folder, BEFORE), 'utf8')));
  if (before.device !== device.path || before.bytes !== device.bytes) {
    throw new ActionError('changed_since', `${device.path} is not the device that was repaired`);
  }
  const image = await open(join(folder, IMAGE));
  const buffer = Buffer.alloc(PIECE_BYTES);
  const savedAt = (start: number, length: number) => readDevice(image, buffer, start, length);
  let written = 0;
  try {
    await requireUnused(context, device, folder, savedAt);
    await eachPiece(context, device, 'write', async (start, bytes, handle) => {
      const saved = await savedAt(start, bytes.length);
      if (saved.equals(bytes)) return;
      await writeDevice(handle, saved, start);
      written += saved.length;
    });
  } finally {
    await image.close();
  }
  if ((await digestOf(context, device)) === before.digest) return written;
  throw new ActionError('undo_incomplete', `${device.path} is not as it was before the repair`);
}

async function requireUnused(
  context: Context,
  device: BlockDevice,
  folder: string,
  savedAt: (start: number, length: number) => Promise<Buffer>,
): Promise<void> {
  const text = await readFile(join(folder, AFTER), 'utf8').catch(
    (error: NodeJS.ErrnoException): null => {
      if (error.code === 'ENOENT') return null;
      throw error;
    },
  );
  if (text === null) return;
  const { pieces } = afterSchema.parse(JSON.parse(text));
  await eachPiece(context, device, 'read', async (start, bytes) => {
    if (pieces[start / PIECE_BYTES] === hashOf(bytes)) return;
    if ((await savedAt(start, bytes.length)).equals(bytes)) return;
    throw new ActionError(
      'changed_since',
      `${device.path} was changed after the repair; putting the old bytes back would destroy that`,
    );
  });
}

async function eachPiece(
  context: Context,
  device: BlockDevice,
  mode: 'read' | 'write',
  body: (
    start: number,
    bytes: Buffer,
    handle: Awaited<ReturnType<typeof openDevice>>,
  ) => Promise<void>,
): Promise<void> {
  const handle = await openDevice(device, mode);
  const buffer = Buffer.alloc(PIECE_BYTES);
  try {
    for (let start = 0; start < device.bytes; start += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, device.bytes - start);
      await body(start, await readDevice(handle, buffer, start, length), handle);
      const percent = Math.floor((100 * (start + length)) / device.bytes);
      context.progress('comparing', percent, `comparing: ${percent} %`);
    }
    if (mode === 'write') await syncDevice(handle);
  } finally {
    await handle.close();
  }
}

export async function digestOf(context: Context, device: BlockDevice): Promise<string> {
  const handle = await openDevice(device, 'read');
  try {
    return (await digestDevice(context, handle, device.bytes, [])).whole;
  } finally {
    await handle.close();
  }
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
