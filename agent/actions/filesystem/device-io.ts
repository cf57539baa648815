import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { BlockDevice } from '../../target/block-device.ts';
import { ActionError } from '../../runner/action.ts';

/**
 * Opens a device or image. A block device is claimed for as long as it is open (O_EXCL, open(2)), so that
 * nobody mounts it meanwhile; not by `look`, which also sees one that others have opened. Throws ActionError
 * `device_in_use`.
 */
export async function openDevice(
  device: BlockDevice,
  mode: 'look' | 'read' | 'write',
): Promise<FileHandle> {
  const access = mode === 'write' ? constants.O_RDWR : constants.O_RDONLY;
  const claim = device.kind === 'block' && mode !== 'look' ? constants.O_EXCL : 0;
  try {
    return await open(device.path, access | claim);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    throw new ActionError('device_in_use', `${device.path} is in use`);
  }
}

/**
 * Reads exactly these bytes. Throws ActionError `hardware_failing` when the disk cannot give them, and
 * `device_changed` when the device has become shorter.
 */
export async function readDevice(
  handle: FileHandle,
  buffer: Buffer,
  offset: number,
  bytes: number,
): Promise<Buffer> {
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await guarded(offset + done, () =>
      handle.read(buffer, done, bytes - done, offset + done),
    );
    if (bytesRead === 0) {
      throw new ActionError('device_changed', `the device ends before byte ${offset + bytes}`);
    }
    done += bytesRead;
  }
  return buffer.subarray(0, bytes);
}

/** Writes all of these bytes. Throws ActionError `hardware_failing` when the disk does not take them. */
export async function writeDevice(
  handle: FileHandle,
  bytes: Buffer,
  offset: number,
): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await guarded(offset + done, () =>
      handle.write(bytes, done, bytes.length - done, offset + done),
    );
    done += bytesWritten;
  }
}

/** Everything written is on the disk afterwards; a write error the kernel kept to itself shows here. */
export async function syncDevice(handle: FileHandle): Promise<void> {
  await guarded(null, () => handle.sync());
}

async function guarded<T>(offset: number | null, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error;
    const where = offset === null ? '' : ` at byte ${offset}`;
    throw new ActionError('hardware_failing', `the disk reports an input/output error${where}`);
  }
}
