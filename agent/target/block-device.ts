import { readFile, realpath, stat } from 'node:fs/promises';
import { ActionError } from '../runner/action.ts';

/** Something a file system can lie on. */
export interface BlockDevice {
  /** As it was named. */
  path: string;
  /** Without symlinks. */
  realPath: string;
  kind: 'block' | 'file';
  bytes: number;
  /** Of the device node; null for an image file. */
  number: DeviceNumber | null;
}

export interface DeviceNumber {
  major: number;
  minor: number;
}

/**
 * What lies at a path. Throws ActionError `device_missing` when nothing does, `not_a_device` when it is
 * neither a block device nor a regular file.
 */
export async function inspectDevice(path: string): Promise<BlockDevice> {
  let realPath: string;
  try {
    realPath = await realpath(path);
  } catch {
    throw new ActionError('device_missing', `${path} is not there`);
  }
  const found = await stat(realPath);
  if (found.isFile()) return { path, realPath, kind: 'file', bytes: found.size, number: null };
  if (!found.isBlockDevice()) {
    throw new ActionError('not_a_device', `${path} is neither a block device nor an image file`);
  }
  const number = deviceNumber(found.rdev);
  return { path, realPath, kind: 'block', bytes: await bytesOf(number), number };
}

/** Linux's encoding of a device number in 64 bits (makedev(3)). */
export function deviceNumber(encoded: number): DeviceNumber {
  const high = Math.floor(encoded / 2 ** 32);
  const low = encoded >>> 0;
  return {
    major: ((low >>> 8) & 0xfff) | (high & ~0xfff),
    minor: (low & 0xff) | ((low >>> 12) & 0xfff00),
  };
}

export function sysfsFolder({ major, minor }: DeviceNumber): string {
  return `/sys/dev/block/${major}:${minor}`;
}

async function bytesOf(number: DeviceNumber): Promise<number> {
  try {
    // In units of 512 bytes, whatever the sectors of the device are.
    return Number(await readFile(`${sysfsFolder(number)}/size`, 'utf8')) * 512;
  } catch {
    throw new ActionError(
      'device_missing',
      `the kernel has no block device ${number.major}:${number.minor}`,
    );
  }
}
