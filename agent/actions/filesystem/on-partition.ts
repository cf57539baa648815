import type { JsonValue } from '../../../proto/documents/fields.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { inspectDevice, type BlockDevice } from '../../target/block-device.ts';
import { findUse } from '../../target/device-use.ts';
import type { Mounts } from '../../target/offline/mounts.ts';
import { withDisks } from '../../target/offline/open-disks.ts';

/** What one file system is reached by: a device that was named, or a partition of the order's disk. */
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

/** Opens what the parameters `device` or `partition` name. Throws ActionError `partition_missing`. */
export async function withNamedVolume<T>(
  context: ActionContext,
  options: { write: boolean },
  body: (volume: NamedVolume) => Promise<T>,
): Promise<T> {
  const { device, partition, ...others } = context.spec.parameters;
  if (context.spec.target === null) {
    if (typeof device !== 'string') {
      throw new ActionError('no_disk', 'a partition is one of a disk: name it with --disk');
    }
    return body({ device, name: device, ids: {}, mounting: null, context });
  }
  return withDisks(context, options, async ({ named, volumes, mounts, place, disks }) => {
    if (disks.length > 1) {
      throw new ActionError('disk_ambiguous', 'a partition is one of a disk: name it, not all');
    }
    const volume = volumes.find((one) => one.partition === partition);
    if (volume === undefined) {
      const there = volumes.map((one) => one.partition).filter((number) => number !== null);
      throw new ActionError(
        'partition_missing',
        `${named} has no partition ${JSON.stringify(partition)}; it has ${there.join(', ') || 'none'}`,
      );
    }
    const parameters = { ...others, device: volume.node };
    return body({
      device: volume.node,
      name: volume.name,
      ids: { offline: { disk: named } },
      mounting: { mounts, place },
      context: { ...context, spec: { ...context.spec, parameters } },
    });
  });
}

/** Throws ActionError `device_in_use`, and those of `inspectDevice`. */
export async function inspectUnused(path: string): Promise<BlockDevice> {
  const device = await inspectDevice(path);
  const use = await findUse(device);
  if (use !== null) throw new ActionError('device_in_use', `${path} is in use: ${use}`);
  return device;
}
