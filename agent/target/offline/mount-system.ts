import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import { parseFstab, type FstabEntry } from '../fstab-lines.ts';
import { TargetFiles } from '../target-files.ts';
import { TargetRoot } from '../target-root.ts';
import type { FoundSystem } from './find-systems.ts';
import { isMountable, type Mounts } from './mounts.ts';
import type { Volume } from './volumes.ts';

/** A file system of the target at its place. */
export interface MountedPart {
  /** As the target names it: `/boot`. */
  mountPoint: string;
  volume: Volume;
}

export interface MountedSystem {
  root: TargetRoot;
  files: TargetFiles;
  parts: MountedPart[];
  /** Lines of its fstab whose file system is not mounted here, and why. */
  missing: { entry: FstabEntry; why: string }[];
}

const NEVER = /^(?:none|swap|\/|\/tmp(?:\/.*)?|\/(?:proc|sys|dev|run)(?:\/.*)?)$/;
const FOREIGN_TYPES = /^(?:nfs4?|cifs|smb3|tmpfs|proc|sysfs|devpts|swap|fuse.*|overlay|9p|ceph)$/;

/**
 * Mounts a system below `point` as its own fstab says, parents first; nothing of the network, no swap. What
 * its lines name is looked up among the volumes of its disks, never by the names this machine gives.
 */
export async function mountSystem(
  context: Pick<ActionContext, 'run' | 'signal'>,
  mounts: Mounts,
  system: FoundSystem,
  volumes: readonly Volume[],
  point: string,
  { write }: { write: boolean },
): Promise<MountedSystem> {
  const { root: volume, subvolume } = system;
  const options = subvolume === null ? [] : [`subvol=/${subvolume}`];
  await mounts.mount(volume.node, volume.type!, point, { write, options });
  const mounted: MountedSystem = {
    root: new TargetRoot(point),
    files: new TargetFiles(point),
    parts: [{ mountPoint: '/', volume }],
    missing: [],
  };
  const text = (await mounted.files.read('/etc/fstab').catch(() => null)) ?? '';
  const entries = parseFstab(text).entries.filter(
    ({ mountPoint, type, options: said }) =>
      !NEVER.test(mountPoint) && !FOREIGN_TYPES.test(type) && !said.includes('bind'),
  );
  const depth = ({ mountPoint }: FstabEntry) => mountPoint.split('/').filter(Boolean).length;
  for (const entry of entries.toSorted((a, b) => depth(a) - depth(b))) {
    context.signal.throwIfAborted();
    const why = await mountEntry(mounts, mounted, entry, volumes, write);
    if (why !== null) mounted.missing.push({ entry, why });
  }
  return mounted;
}

/** Null when it is mounted, else why not: one that is missing is a fault to find, not to fail by. */
async function mountEntry(
  mounts: Mounts,
  mounted: MountedSystem,
  entry: FstabEntry,
  volumes: readonly Volume[],
  write: boolean,
): Promise<string | null> {
  const volume = volumeOf(entry.source, volumes);
  if (volume === undefined) return `${entry.source} is on none of the disks`;
  if (!isMountable(volume.type)) return `${volume.name} holds ${volume.type ?? 'nothing known'}`;
  try {
    const folder = await mounted.root.openFolder(entry.mountPoint);
    try {
      const there = await readlink(folder.entry('x').slice(0, -2));
      if (there !== join(mounted.root.path, folder.path)) return `${entry.mountPoint} leads away`;
      const subvolume = entry.options.find((option) => option.startsWith('subvol='));
      await mounts.mount(volume.node, volume.type, there, {
        write,
        options: subvolume === undefined || volume.type !== 'btrfs' ? [] : [subvolume],
      });
      mounted.parts.push({ mountPoint: folder.path, volume });
      return null;
    } finally {
      await folder.close();
    }
  } catch (error) {
    return (error as Error).message;
  }
}

/** The volume that a first field of fstab means. */
export function volumeOf(source: string, volumes: readonly Volume[]): Volume | undefined {
  const tagged =
    /^(UUID|LABEL|PARTUUID|PARTLABEL)="?([^"]*)"?$/.exec(source) ??
    /^\/dev\/disk\/by-(uuid|label|partuuid|partlabel)\/(.+)$/.exec(source);
  if (tagged !== null) {
    const key = TAGS[tagged[1]!.toUpperCase() as keyof typeof TAGS];
    const wanted = tagged[2]!.toLowerCase();
    return volumes.find((volume) => volume[key]?.toLowerCase() === wanted);
  }
  const mapped = volumes.find(({ device, paths }) => device === source || paths.includes(source));
  if (mapped !== undefined) return mapped;
  // What the target called its disk: with one disk the number of the partition says which it is.
  const [, number] =
    /^\/dev\/(?:[sv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+p|mmcblk\d+p)(\d+)$/.exec(source) ?? [];
  if (number === undefined || new Set(volumes.map(({ disk }) => disk)).size !== 1) return undefined;
  return volumes.find(({ partition }) => partition === Number(number));
}

const TAGS = {
  UUID: 'uuid',
  LABEL: 'label',
  PARTUUID: 'partitionUuid',
  PARTLABEL: 'partitionLabel',
} as const;
