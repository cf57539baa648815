import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HOST_WIDE } from '../../jobs/sandbox.ts';
import type { CommandOptions, CommandResult } from '../../process/command.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { deviceNumber } from '../block-device.ts';
import { withCallFilter } from './call-filter.ts';
import type { MountedSystem } from './mount-system.ts';
import type { Mounts } from './mounts.ts';
import { readMaps } from './stack/device-mapper.ts';
import type { OpenDisks } from './open-disks.ts';

export interface InsideOptions extends CommandOptions {
  /**
   * The disks of the target and their volumes appear in /dev, with links in /dev/disk/by-uuid. To `read`: the
   * program then has no capability at all, since with one it could write to them.
   */
  devices?: 'read' | 'write';
  /** It can write to no file of the target but what covers say; of a running one it then sees an empty /run. */
  readOnly?: true;
  /** What the program sees in the place of files and folders of the target. */
  covers?: readonly Cover[];
}

/** A file or folder of the job, shown to a program of the target at another place; read-only unless `writable`. */
export interface Cover {
  /** A plain file or folder of the target without a symlink on the way, or a new name in /run or /tmp. */
  at: string;
  with: string;
  writable?: true;
}

/** Folders that are covered; each must be one, since a link in its place could lead anywhere. */
const COVERED = ['/dev', '/proc', '/run', '/sys', '/tmp'];

/** Of its own, with what every boot makes there (tmpfiles.d(5)). */
export const EMPTY_FOLDERS = [
  ...['--tmpfs', '/run', '--perms', '1777', '--dir', '/run/lock'],
  ...['--perms', '1777', '--tmpfs', '/tmp'],
];

const NOBODY = 65534;

const POWERS = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  LC_ALL: 'C.UTF-8',
  DEBIAN_FRONTEND: 'noninteractive',
  SYSTEMD_OFFLINE: '1',
};

/**
 * Runs a program that lies on the target's disks, which may be hostile: the target is its whole world. No
 * network, no process but its own, nothing of the host but the kernel, no devices unless asked for and then
 * the target's alone, its own /run and /tmp, and what confined jobs may not ask the kernel for.
 *
 * Throws ActionError `target_hostile` when a folder that must be covered is none.
 */
export async function runInside(
  context: Pick<ActionContext, 'run' | 'directory'>,
  system: MountedSystem,
  open: Pick<OpenDisks, 'disks' | 'volumes' | 'place' | 'mounts'>,
  argv: readonly string[],
  { devices, readOnly, covers = [], ...options }: InsideOptions = {},
): Promise<CommandResult> {
  await requireFolders(system);
  await requireCoverable(system, covers);
  const shown = devices === undefined ? [] : await deviceArguments(context, open, devices);
  const powers = devices === 'read' ? [] : POWERS;
  return withCallFilter(context.directory, (filter, descriptors) => {
    const words = [
      ['bwrap', '--unshare-pid', '--unshare-ipc', '--unshare-uts'],
      ['--die-with-parent', '--new-session'],
      [readOnly === true ? '--ro-bind' : '--bind', system.root.path, '/'],
      ['--proc', '/proc'],
      ...HOST_WIDE.map((path) => ['--ro-bind-try', path, path]),
      ['--dev', '/dev'],
      shown,
      ['--ro-bind', '/sys', '/sys', ...EMPTY_FOLDERS],
      coverArguments(covers),
      ['--cap-drop', 'ALL', ...powers.flatMap((power) => ['--cap-add', power])],
      ['--clearenv'],
      ...Object.entries({ ...ENVIRONMENT, ...options.environment }).map(([name, value]) => [
        '--setenv',
        name,
        value,
      ]),
      ['--chdir', options.directory ?? '/'],
      ...filter,
      ['--', ...argv],
    ].flat();
    const { environment: _, directory: __, ...rest } = options;
    return context.run(words, {
      ...rest,
      descriptors: [...descriptors, ...(options.descriptors ?? [])],
    });
  });
}

/** Kernel names, because programs look their devices up in /sys, and the links that root=UUID= comes from. */
async function deviceArguments(
  context: Pick<ActionContext, 'run'>,
  { disks, volumes, place, mounts }: Pick<OpenDisks, 'disks' | 'volumes' | 'place' | 'mounts'>,
  access: 'read' | 'write',
): Promise<readonly string[]> {
  const nodes = [...new Set([...disks.map(({ loop }) => loop), ...volumes.map((v) => v.device)])];
  const folder = join(place, 'nodes');
  if (access === 'read') await makeReadable(context, mounts, nodes, folder);
  const link = (kind: string, id: string | null, device: string) =>
    // A name from the disk: only what udev itself would make a plain link of.
    id === null || !/^[A-Za-z0-9-]{1,64}$/.test(id)
      ? []
      : ['--symlink', `../../${device.slice('/dev/'.length)}`, `/dev/disk/${kind}/${id}`];
  const unique = new Map(volumes.map((volume) => [volume.uuid, volume]));
  return [
    ...nodes.flatMap((node) => [
      '--dev-bind',
      access === 'read' ? join(folder, basename(node)) : node,
      node,
    ]),
    // As mount(8) names them in the list of mounts, where grub-probe looks for the device of a folder.
    ...(await mapNames(nodes)).flatMap(([node, name]) => [
      ...['--symlink', `../${basename(node)}`, `/dev/mapper/${name}`],
    ]),
    ...[...unique.values()].flatMap(({ uuid, device }) => link('by-uuid', uuid, device)),
    ...volumes.flatMap(({ partitionUuid, device }) => link('by-partuuid', partitionUuid, device)),
  ];
}

/** The names of those that the device mapper made. */
async function mapNames(nodes: readonly string[]): Promise<[node: string, name: string][]> {
  const maps = nodes.some((node) => node.startsWith('/dev/dm-')) ? await readMaps() : [];
  return maps
    .map(([kernel, name]): [string, string] => [`/dev/${kernel}`, name])
    .filter(([node]) => nodes.includes(node));
}

/** Nodes of the same devices that only somebody with a capability could open for writing. */
async function makeReadable(
  { run }: Pick<ActionContext, 'run'>,
  mounts: Mounts,
  nodes: readonly string[],
  folder: string,
): Promise<void> {
  if (await isThere(folder)) return;
  await mkdir(folder, { mode: 0o755 });
  await mounts.mountMemory(folder);
  for (const node of nodes) {
    const { major, minor } = deviceNumber((await stat(node)).rdev);
    const own = join(folder, basename(node));
    const made = await run(['mknod', own, 'b', String(major), String(minor)], {
      output: 'capture',
    });
    if (made.exitStatus !== 0) throw new ActionError('not_mounted', `mknod: ${made.err.trim()}`);
    await chown(own, NOBODY, NOBODY);
    await chmod(own, 0o444);
  }
}

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

async function requireFolders({ files }: MountedSystem): Promise<void> {
  for (const path of COVERED) {
    if ((await files.lstat(path).catch(() => null))?.isDirectory()) continue;
    throw new ActionError(
      'target_hostile',
      `${path} of the target is no folder: none of its programs is run`,
    );
  }
}

export function coverArguments(covers: readonly Cover[]): string[] {
  return covers.flatMap(({ at, with: source, writable }) => [
    writable === true ? '--bind' : '--ro-bind',
    source,
    at,
  ]);
}

/** A symlink on the way could have something else covered, of the target or of the host. */
export async function requireCoverable(
  { root, files }: Pick<MountedSystem, 'root' | 'files'>,
  covers: readonly Cover[],
): Promise<void> {
  for (const [index, { at }] of covers.entries()) {
    if (/^\/(?:run|tmp)\/[\w.-]+$/.test(at)) continue;
    // Below what is covered already nothing of the target is seen.
    if (covers.slice(0, index).some((cover) => at.startsWith(`${cover.at}/`))) continue;
    const folder = await root.openFolder(dirname(at)).catch(() => null);
    await folder?.close();
    const found = await files.lstat(at);
    const isPlain = found !== null && (found.isFile() || found.isDirectory());
    if (folder?.path === dirname(at) && isPlain) continue;
    throw new ActionError('target_hostile', `${at} of the target is neither plain file nor folder`);
  }
}
