import { constants } from 'node:fs';
import { open, readdir, readFile, type FileHandle } from 'node:fs/promises';
import { ActionError, type ActionContext } from '../../../runner/action.ts';

/** Names of what a job maps begin so: what a killed job left behind is known by it. */
export const MAP_PREFIX = 'intervene-';

const CONTROL = '/dev/mapper/control';
const REMOVE_WITHIN_MS = 30_000;

type Context = Pick<ActionContext, 'run' | 'note' | 'spec'>;

/** A device of the kernel over others, open until it is closed: nobody can take it away meanwhile. */
export interface OpenedDevice {
  /** `/dev/dm-3`. */
  device: string;
  close(): Promise<void>;
}

/** Throws ActionError `device_mapper_unavailable`. Opening the device makes a kernel load its module. */
export async function requireDeviceMapper(): Promise<void> {
  try {
    const handle = await open(CONTROL, constants.O_RDWR);
    await handle.close();
  } catch {
    throw new ActionError(
      'device_mapper_unavailable',
      'the kernel of this machine has no device mapper, which LVM and LUKS need: load its module ' +
        'dm_mod, or start the server from a rescue system whose kernel has it',
    );
  }
}

/** The name of the nth mapping of a job. */
export function mapName({ spec }: Pick<Context, 'spec'>, nth: number): string {
  return `${MAP_PREFIX}${tagOf(spec.job)}-${nth}`;
}

/** What tells the mappings of one job from those of others: the random part of its id. */
export function tagOf(job: string): string {
  return job.slice(-12);
}

/** Maps a table (dmsetup(8)); without `write` nothing can be written through it. */
export async function openMap(
  context: Context,
  name: string,
  table: string,
  { write }: { write: boolean },
): Promise<OpenedDevice> {
  const done = await context.run(['dmsetup', 'create', ...(write ? [] : ['--readonly']), name], {
    output: 'capture',
    input: table,
  });
  if (done.exitStatus !== 0) throw new ActionError('not_opened', `dmsetup: ${done.err.trim()}`);
  return holdMap(context, name);
}

/** Takes charge of a mapping that is there. */
export async function holdMap(context: Context, name: string): Promise<OpenedDevice> {
  const remove = async () => {
    const argv = ['dmsetup', 'remove', '--retry', name];
    const done = await context.run(argv, { output: 'capture', timeoutMs: REMOVE_WITHIN_MS });
    if (done.exitStatus !== 0) context.note(`${name} stays for now: ${done.err.trim()}`);
  };
  let handle: FileHandle;
  let device: string;
  try {
    device = `/dev/${await kernelName(name)}`;
    handle = await open(device, constants.O_RDONLY);
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    device,
    async close() {
      await handle.close();
      await remove();
    },
  };
}

async function kernelName(name: string): Promise<string> {
  for (const [kernel, mapped] of await readMaps()) if (mapped === name) return kernel;
  throw new ActionError('not_opened', `the kernel does not show ${name}`);
}

/** Every mapping of this machine: the kernel's name for it, and its own. */
export async function readMaps(): Promise<[kernel: string, name: string][]> {
  const names = (await readdir('/sys/block')).filter((name) => name.startsWith('dm-'));
  const read = async (kernel: string): Promise<[string, string]> => [
    kernel,
    (await readFile(`/sys/block/${kernel}/dm/name`, 'utf8').catch(() => '')).trim(),
  ];
  return Promise.all(names.map(read));
}
