import type { Observation } from '../../../jobs/observation.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import { NotApplicable, ProbeFailure, type ProbeContext } from '../probe.ts';

export interface BlockDeviceNode {
  name: string;
  type: string;
  size: number;
  fstype: string | null;
  label: string | null;
  uuid: string | null;
  partuuid: string | null;
  partlabel: string | null;
  /** GUID of the partition's type, or the hexadecimal number of an MBR's. */
  parttype: string | null;
  model: string | null;
}

export interface BlockDevices {
  devices: BlockDeviceNode[];
  /** Whether each device has been read, so that an id nobody has is not there. */
  isComplete: boolean;
}

/** What udev knows of the devices, or without it what is written on them. */
export async function readBlockDevices(context: ProbeContext): Promise<BlockDevices> {
  if (context.volumes !== undefined) return onDisks(context.volumes);
  const devices = parseLsblk(await context.observe('block-devices'));
  const signatures = await context.observe('signatures').catch((error: unknown) => {
    if (error instanceof NotApplicable) return null;
    throw error;
  });
  if (signatures === null) return { devices, isComplete: true };
  const written = parseBlkid(signatures.out);
  const all = devices.map((device) => ({ ...device, ...written.get(device.name) }));
  const unread = all.filter(({ type, size, fstype, partuuid }) => {
    return /^(?:disk|part|lvm|crypt|raid\d*)$/.test(type) && size > 0 && !fstype && !partuuid;
  });
  return { devices: all, isComplete: unread.length === 0 };
}

/** Names that the running system gives them mean nothing to the one on the disks. */
function onDisks(volumes: readonly Volume[]): BlockDevices {
  return {
    devices: volumes.map((volume) => ({
      name: volume.name,
      type: 'part',
      size: volume.bytes,
      fstype: volume.type,
      label: volume.label,
      uuid: volume.uuid,
      partuuid: volume.partitionUuid,
      partlabel: volume.partitionLabel,
      parttype: volume.partitionType,
      model: null,
    })),
    // What is damaged may have been the one that is looked for, and still is not there for a boot.
    isComplete: true,
  };
}

/** Blocks of `NAME=value` lines, as `blkid -o export` prints them, by the kernel's name of the device. */
function parseBlkid(text: string): Map<string, Partial<BlockDeviceNode>> {
  return new Map(
    text.split(/\n\n+/).map((block) => {
      const fields = new Map(
        block.split('\n').map((line): [string, string] => {
          const at = line.indexOf('=');
          return [line.slice(0, at), line.slice(at + 1).replaceAll(/\\(.)/g, '$1')];
        }),
      );
      const known = {
        fstype: fields.get('TYPE') ?? null,
        label: fields.get('LABEL') ?? null,
        uuid: fields.get('UUID') ?? null,
        partuuid: fields.get('PARTUUID') ?? null,
        partlabel: fields.get('PARTLABEL') ?? null,
      };
      return [(fields.get('DEVNAME') ?? '').replace(/^\/dev\/(?:mapper\/)?/, ''), known];
    }),
  );
}

type Listed = Partial<BlockDeviceNode> & { children?: Listed[] };

/** Every device of lsblk's tree, each once. */
export function parseLsblk(seen: Pick<Observation, 'out'>): BlockDeviceNode[] {
  let top: Listed[];
  try {
    top = (JSON.parse(seen.out) as { blockdevices?: Listed[] }).blockdevices ?? [];
  } catch {
    throw new ProbeFailure('lsblk gave no readable answer');
  }
  const all = new Map<string, BlockDeviceNode>();
  const add = (listed: Listed, depth: number) => {
    if (typeof listed.name !== 'string' || depth > 16) return;
    all.set(listed.name, {
      name: listed.name,
      type: String(listed.type ?? ''),
      size: Number(listed.size ?? 0),
      fstype: listed.fstype ?? null,
      label: listed.label ?? null,
      uuid: listed.uuid ?? null,
      partuuid: listed.partuuid ?? null,
      partlabel: listed.partlabel ?? null,
      parttype: listed.parttype ?? null,
      model: listed.model ?? null,
    });
    for (const child of listed.children ?? []) add(child, depth + 1);
  };
  for (const listed of top) add(listed, 0);
  return [...all.values()];
}
