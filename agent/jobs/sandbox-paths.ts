import { execFile } from 'node:child_process';
import { chown, lstat, mkdir, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import { uuidV7 } from '../../proto/documents/fields.ts';
import { GuardFolder } from '../guard/guard-folder.ts';
import type { JobSpec } from './job-spec.ts';
import { bindBackups, checkBackupDirectory, checkNamedPath, checkPlainName } from './named-path.ts';
import { observedFolder } from './observer.ts';
import { ALL_DISKS } from '../../proto/documents/kinds/order.ts';
import { observedFor } from './observations.ts';
import { isChanging, type SandboxDevice, type SandboxPaths } from './sandbox.ts';

const run = promisify(execFile);

/**
 * Of which a confined runner sees nothing but what is shown by name. /run holds the sockets of D-Bus, systemd
 * and container daemons: each would be a way out.
 */
export const HIDDEN_DIRECTORIES = [
  '/root',
  '/home',
  '/run',
  '/tmp',
  '/var/tmp',
  '/srv',
  '/etc/ssh',
];
const HIDDEN_FILES = ['/etc/shadow', '/etc/shadow-', '/etc/gshadow', '/etc/gshadow-'];

/**
 * systemctl(1) as root talks to this socket and, across a pid namespace, fails: it cannot see who is at the
 * other end. Where nothing answers there it takes the system bus instead.
 */
const SYSTEMD_PRIVATE = ['/run/systemd/private'];

/**
 * What a diagnosis reads below hidden folders. Plain files and folders of them only: a socket or pipe there
 * could be written whatever its mount says, and root's programs listen on them.
 */
const SHOWN_FILES = [
  '/root/.ssh/authorized_keys',
  '/run/NetworkManager/resolv.conf',
  '/run/nologin',
  '/run/reboot-required',
  '/run/reboot-required.pkgs',
  '/run/resolvconf/resolv.conf',
  '/run/systemd/resolve/resolv.conf',
  '/run/systemd/resolve/stub-resolv.conf',
  '/run/systemd/timesync/synchronized',
];
const SHOWN_DIRECTORIES = ['/run/log/journal'];

const NOBODY = 65_534;

export interface SandboxPlaces {
  stateDirectory: string;
  programDirectory: string;
  nodePath: string;
  protectedPaths: readonly string[];
}

/**
 * Looks up what `sandboxArguments` needs to know of this machine. Paths that are not there are left
 * out. Throws ForbiddenPathError when the order names one that no job may have.
 */
export async function resolveSandboxPaths(
  declaration: ActionDeclaration,
  spec: JobSpec,
  jobDirectory: string,
  places: SandboxPlaces,
): Promise<SandboxPaths> {
  const host = await hostSandboxPaths(jobDirectory, places);
  const isConfined = !declaration.capabilities.includes('host');
  const device = namedDevice(declaration, spec);
  const { undoes } = spec;
  const observes = declaration.capabilities.includes('observe');
  const hidden = HIDDEN_DIRECTORIES.filter((path) => !observes || path !== '/etc/ssh');
  const state = places.stateDirectory;
  await checkBackupDirectory(spec, places);
  return {
    ...host,
    hiddenDirectories: isConfined ? await existing(hidden, 'directory') : [],
    hiddenFiles: observes ? [] : isConfined ? await existing(HIDDEN_FILES) : host.hiddenFiles,
    shownFiles: observes ? await showable() : [],
    observations: observedFor(declaration) === null ? null : observedFolder(state, spec.job),
    device: device === null ? null : await resolveDevice(device, declaration, spec, places),
    // After everything that may still refuse: this makes a folder.
    backups: isConfined ? await bindBackups(spec, places) : null,
    undoneDirectory: undoes === null ? null : join(state, 'jobs', undoes),
    guard: declaration.capabilities.includes('guard') ? await namedGuard(spec, state) : null,
  };
}

/** Null when the job that is named has none: the action then says so itself. */
async function namedGuard({ parameters }: JobSpec, state: string): Promise<string | null> {
  const named = uuidV7.safeParse(parameters['job']);
  if (!named.success) return null;
  const folder = new GuardFolder(join(state, 'jobs', named.data));
  return folder.isArmed ? folder.path : null;
}

/** For a runner that knows of no job: profile `host`, nothing besides. */
export async function hostSandboxPaths(
  jobDirectory: string,
  places: SandboxPlaces,
): Promise<SandboxPaths> {
  return {
    stateDirectory: places.stateDirectory,
    jobDirectory,
    programs: await existing([places.programDirectory, dirname(places.nodePath)]),
    protectedPaths: await existing(places.protectedPaths),
    hiddenDirectories: [],
    hiddenFiles: await existing(SYSTEMD_PRIVATE),
    shownFiles: [],
    observations: null,
    device: null,
    backups: null,
    undoneDirectory: null,
    guard: null,
  };
}

/** The device or image that the order names, as a parameter of the action or as the disk of its target. */
function namedDevice({ capabilities }: ActionDeclaration, spec: JobSpec): string | null {
  const given = capabilities.includes('disks')
    ? spec.target?.['disk']
    : capabilities.includes('device')
      ? spec.parameters['device']
      : null;
  return typeof given === 'string' && given !== ALL_DISKS ? given : null;
}

/** Null when there is no such device or file: the action then says so itself. */
async function resolveDevice(
  given: string,
  declaration: ActionDeclaration,
  spec: JobSpec,
  places: SandboxPlaces,
): Promise<SandboxDevice | null> {
  checkPlainName(given);
  const real = await realpath(given).catch(() => null);
  const found = real === null ? null : await stat(real).catch(() => null);
  if (real === null || found === null) return null;
  if (found.isFile()) {
    const file = await checkNamedPath(given, places);
    return file === null ? null : { given, real: file, kind: 'file', readOnlyNode: null };
  }
  if (!found.isBlockDevice()) return null;
  const readOnlyNode = isChanging(declaration, spec)
    ? null
    : await makeReadOnlyNode(places.stateDirectory, spec.job, found.rdev);
  return { given, real, kind: 'block', readOnlyNode };
}

/**
 * A read-only mount does not keep a device from being written through its node. A node that belongs to
 * nobody, and that the group root may only read, does: a runner that checks or plans has no capability to
 * write it or to change its mode. Null where nodes cannot be made.
 */
async function makeReadOnlyNode(
  stateDirectory: string,
  job: string,
  rdev: number,
): Promise<string | null> {
  const node = deviceNodePath(stateDirectory, job);
  const major = ((rdev >>> 8) & 0xfff) | (Math.floor(rdev / 2 ** 32) & ~0xfff);
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  try {
    await mkdir(dirname(node), { recursive: true, mode: 0o700 });
    await rm(node, { force: true });
    await run('mknod', ['-m', '0440', node, 'b', String(major), String(minor)]);
    await chown(node, NOBODY, 0);
    return node;
  } catch {
    return null;
  }
}

export function deviceNodePath(stateDirectory: string, job: string): string {
  return join(stateDirectory, 'devices', job);
}

async function showable(): Promise<string[]> {
  const shown: string[] = [];
  for (const path of [...SHOWN_FILES, ...SHOWN_DIRECTORIES]) {
    const found = await lstat(path).catch(() => null);
    const isWanted = SHOWN_DIRECTORIES.includes(path) ? found?.isDirectory() : found?.isFile();
    if (isWanted && (await realpath(path)) === path) shown.push(path);
  }
  return shown;
}

async function existing(paths: readonly unknown[], kind?: 'directory'): Promise<string[]> {
  const found = new Set<string>();
  for (const path of paths) {
    if (typeof path !== 'string') continue;
    const real = await realpath(path).catch(() => null);
    if (real === null || real === '/') continue;
    if (kind === 'directory' && !(await stat(real)).isDirectory()) continue;
    found.add(real);
  }
  return [...found];
}
