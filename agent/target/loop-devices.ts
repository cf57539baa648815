import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A loop device that has something behind it. */
export interface LoopDevice {
  name: string;
  major: number;
  minor: number;
  /** As the kernel names the file or device behind it. */
  backing: string;
  start: number;
  /** First byte behind the window; the end of the backing file when the window has no limit. */
  end: number;
  /** Length of the device. */
  bytes: number;
}

/** All attached loop devices of this machine, from /sys, which needs no access to the devices. */
export async function readLoopDevices(): Promise<LoopDevice[]> {
  const names = await readdir('/sys/block').catch((): string[] => []);
  const loops = names.filter((name) => name.startsWith('loop')).map(readLoopDevice);
  return (await Promise.all(loops)).filter((loop) => loop !== null);
}

async function readLoopDevice(name: string): Promise<LoopDevice | null> {
  const read = async (file: string) =>
    (await readFile(join('/sys/block', name, file), 'utf8')).replace(/\n$/, '');
  try {
    const backing = await read('loop/backing_file');
    const [major, minor] = (await read('dev')).split(':').map(Number);
    const start = Number(await read('loop/offset'));
    const limit = Number(await read('loop/sizelimit'));
    const end = limit === 0 ? Number.POSITIVE_INFINITY : start + limit;
    const bytes = Number(await read('size')) * 512;
    return { name, major: major!, minor: minor!, backing, start, end, bytes };
  } catch {
    // Not attached, or detached meanwhile.
    return null;
  }
}
