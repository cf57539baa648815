import type { JsonValue } from '../../../proto/documents/fields.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { inspectDevice, type BlockDevice } from '../../target/block-device.ts';
import { findUse } from '../../target/device-use.ts';
import { requireExpectedAmong } from '../../target/offline/expected-system.ts';
import type { Mounts } from '../../target/offline/mounts.ts';
import { withDisks, type OpenDisks } from '../../target/offline/open-disks.ts';
import { notFound } from '../../target/offline/stack/storage-problem.ts';
import { describeVolume, pathsOf, type Volume } from '../../target/offline/volumes.ts';

/** What one file system is reached by: a device that was named, or a piece of the order's disks. */
export interface NamedVolume {
  /** Path of the device; the same in every job. */
  device: string;
  /** As people name it. */
  name: string;
  /** For `target` of the plan. */
  ids: Record<string, JsonValue>;
  /** Null where the device was named: the sandbox then has no power to mount. */
  mounting: { mounts: Mounts; place: string } | null;
  /** With the device as the parameter, whichever way it was named. */
  context: ActionContext;
}

/** The device that a file system's action works on, where `withNamedVolume` has put it. */
export function deviceOf({ spec }: Pick<ActionContext, 'spec'>): string {
  const { device } = spec.parameters;
  if (typeof device !== 'string') throw new ActionError('no_disk', 'no device is named');
  return device;
}

/**
 * Opens what the parameters `device`, `partition` or `volume` name. Throws ActionError `partition_missing`,
 * `volume_missing` or in its place the reason of what could not be opened, `volume_ambiguous`; and those of
 * `requireExpectedAmong`.
 */
export async function withNamedVolume<T>(
  context: ActionContext,
  options: { write: boolean },
  body: (volume: NamedVolume) => Promise<T>,
): Promise<T> {
  const { device, partition, volume: path, ...others } = context.spec.parameters;
  if (context.spec.target === null) {
    if (typeof device !== 'string') {
      throw new ActionError(
        'no_disk',
        'a partition or volume is one of a disk: name it with --disk',
      );
    }
    return body({ device, name: device, ids: {}, mounting: null, context });
  }
  return withDisks(context, options, async (open) => {
    const volume =
      typeof path === 'string' ? volumeAt(open, path) : partitionWith(open, Number(partition));
    await requireExpectedAmong(context, open);
    const parameters = { ...others, device: volume.node };
    const name = describeVolume(volume);
    return body({
      device: volume.node,
      name,
      ids: {
        offline: { disk: open.named },
        ...(volume.layers.length > 0 && { storage: name }),
      },
      mounting: { mounts: open.mounts, place: open.place },
      context: { ...context, spec: { ...context.spec, parameters } },
    });
  });
}

function partitionWith({ named, volumes, disks }: OpenDisks, number: number): Volume {
  if (disks.length > 1) {
    throw new ActionError(
      'disk_ambiguous',
      'a partition is one of a disk: name it, not all, or the partition as a volume, such as /dev/sdb1',
    );
  }
  const volume = volumes.find(({ partition }) => partition === number);
  if (volume !== undefined) return volume;
  const there = volumes.map(({ partition }) => partition).filter((one) => one !== null);
  throw new ActionError(
    'partition_missing',
    `${named} has no partition ${number}; it has ${there.join(', ') || 'none'}`,
  );
}

/**
 * What names this volume and no other on the order's disks; null where only its device does: that is named
 * without them.
 */
export function parametersFor(
  volume: Volume,
  { volumes, disks }: Pick<OpenDisks, 'volumes' | 'disks'>,
): { partition: number } | { volume: string } | null {
  if (volume.partition !== null && disks.length === 1) return { partition: volume.partition };
  const others = new Set(volumes.filter((one) => one !== volume).flatMap(pathsOf));
  const path = pathsOf(volume).find((one) => !others.has(one));
  return path === undefined ? null : { volume: path };
}

/** By what it lies on, never by what is written in it: that may be damaged, and is again after an undo. */
export function volumeAt(
  { volumes, problems }: Pick<OpenDisks, 'volumes' | 'problems'>,
  path: string,
): Volume {
  const [volume, ...others] = volumes.filter((one) => pathsOf(one).includes(path));
  if (volume === undefined) {
    const there = volumes.flatMap((one) => pathsOf(one)[0] ?? []);
    const what = `${path} is on none of the disks; there are: ${there.join(', ') || 'none'}`;
    throw notFound('volume_missing', what, problems);
  }
  if (others.length === 0) return volume;
  const all = [volume, ...others].map((one) => `${pathsOf(one).at(-1)} (${describeVolume(one)})`);
  throw new ActionError(
    'volume_ambiguous',
    `${path} is there more than once; name one as ${all.join(' or ')}`,
  );
}

/** Throws ActionError `device_in_use`, and those of `inspectDevice`. */
export async function inspectUnused(path: string): Promise<BlockDevice> {
  const device = await inspectDevice(path);
  const use = await findUse(device);
  if (use !== null) throw new ActionError('device_in_use', `${path} is in use: ${use}`);
  return device;
}
