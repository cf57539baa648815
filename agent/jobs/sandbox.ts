import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import { DECISION_FOLDER } from '../guard/guard-folder.ts';
import type { JobSpec } from './job-spec.ts';
import type { BackupBinding } from './named-path.ts';

/** What a runner may touch, resolved: every path exists and is no symlink, except `given`. */
export interface SandboxPaths {
  stateDirectory: string;
  jobDirectory: string;
  /** The agent's program and its Node: visible and read-only. */
  programs: readonly string[];
  /** Configuration and policy: read-only where the host's root is writable. */
  protectedPaths: readonly string[];
  /** Folders hidden from confined runners: secrets, private files and the sockets of other programs. */
  hiddenDirectories: readonly string[];
  /** Single files that no runner of this profile gets. */
  hiddenFiles: readonly string[];
  /** Files in hidden folders that are shown all the same, read-only. */
  shownFiles: readonly string[];
  /** What the agent observed for this job; null for jobs that it looks at nothing for. */
  observations: string | null;
  device: SandboxDevice | null;
  /** The folder for the backups of this job, or of the undone one. */
  backups: BackupBinding | null;
  /** The folder of the job that mode `undo` takes back. */
  undoneDirectory: string | null;
  /** The guard of the job that this one decides about. */
  guard: string | null;
}

export interface SandboxDevice {
  /** As the order names it; perhaps a symlink. */
  given: string;
  real: string;
  kind: 'block' | 'file';
  /** A node of the same device that root cannot open for writing; null when none could be made. */
  readOnlyNode: string | null;
}

/**
 * Files of /proc that are the host's whatever the namespace, and that uid 0 may write without any
 * capability: `kernel.core_pattern` alone would be a way out (proc(5)).
 */
export const HOST_WIDE = ['acpi', 'bus', 'fs', 'irq', 'scsi', 'sys', 'sysrq-trigger'].map(
  (name) => `/proc/${name}`,
);

/** To attach and mount disks, to write files of any owner on them, and to run their programs apart. */
const DISK_POWERS = [
  'CAP_SYS_ADMIN',
  'CAP_MKNOD',
  'CAP_CHOWN',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_SETFCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_SYS_CHROOT',
  'CAP_SETUID',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_KILL',
  // Of its own, empty network: rules of a firewall are loaded there to be read.
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
];

type Declared = Pick<ActionDeclaration, 'capabilities' | 'changes'>;

/** Whether this job is one that changes the server; only then is its device writable. */
export function isChanging(declaration: Declared, spec: Pick<JobSpec, 'mode'>): boolean {
  return declaration.changes && spec.mode !== 'plan';
}

/**
 * Arguments of bubblewrap for one job: everything the declaration does not name is withheld. The runner
 * is process 1 of its own pid namespace, so its death ends everything it started.
 *
 * Profile `host` is root on the host: hidden and read-only mounts keep honest programs from the agent's
 * own files, but root can undo mounts. The confined profile has no such power.
 */
export function sandboxArguments(
  declaration: Declared,
  spec: Pick<JobSpec, 'mode'>,
  paths: SandboxPaths,
): string[] {
  const has = (capability: ActionDeclaration['capabilities'][number]) =>
    declaration.capabilities.includes(capability);
  return [
    ['--unshare-pid', '--as-pid-1'],
    has('network') ? [] : ['--unshare-net'],
    has('host') ? hostProfile(paths) : confinedProfile(declaration, spec, paths),
    ownFolders(paths),
    ['--chdir', paths.jobDirectory],
  ].flat();
}

function hostProfile(paths: SandboxPaths): string[] {
  return [
    ['--dev-bind', '/', '/'],
    ['--proc', '/proc'],
    // bubblewrap may cover it read-only, but the host's settings are root's to change.
    ['--dev-bind', '/proc/sys', '/proc/sys'],
    ...paths.hiddenFiles.map((path) => ['--ro-bind', '/dev/null', path]),
    ...paths.protectedPaths.map((path) => ['--ro-bind', path, path]),
    ...paths.programs.map((path) => ['--ro-bind', path, path]),
  ].flat();
}

function confinedProfile(
  declaration: Declared,
  spec: Pick<JobSpec, 'mode'>,
  paths: SandboxPaths,
): string[] {
  const changing = isChanging(declaration, spec);
  const disks = declaration.capabilities.includes('disks');
  return [
    ['--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ['--ro-bind', '/', '/'],
    ['--proc', '/proc'],
    ...HOST_WIDE.map((path) => ['--ro-bind-try', path, path]),
    // Loop devices come and go: only the kernel's own /dev shows them.
    disks ? ['--dev-bind', '/dev', '/dev'] : ['--dev', '/dev'],
    ...paths.hiddenDirectories.map((path) => ['--perms', '1777', '--tmpfs', path]),
    ...paths.hiddenFiles.map((path) => ['--ro-bind', '/dev/null', path]),
    // sshd refuses to check its configuration without the folder it gives up its powers in.
    declaration.capabilities.includes('observe') ? ['--perms', '0755', '--dir', '/run/sshd'] : [],
    ...paths.shownFiles.map((path) => ['--ro-bind-try', path, path]),
    paths.device === null ? [] : deviceArguments(paths, paths.device, changing),
    paths.backups === null
      ? []
      : [paths.backups.isWritable ? '--bind' : '--ro-bind', paths.backups.path, paths.backups.path],
    // Last, so that nothing the order names can cover them or make them writable.
    ...paths.protectedPaths
      .filter((path) => !paths.hiddenDirectories.some((hidden) => path.startsWith(`${hidden}/`)))
      .map((path) => ['--ro-bind', path, path]),
    ...paths.programs.map((path) => ['--ro-bind', path, path]),
    ['--cap-drop', 'ALL'],
    // Never CAP_DAC_READ_SEARCH: open_by_handle_at(2) would reach every file of a bound file system, past
    // all mounts. With CAP_DAC_OVERRIDE images of any owner are opened; without it a device whose node
    // says so cannot be written.
    changing || disks || paths.device?.kind === 'file' ? ['--cap-add', 'CAP_DAC_OVERRIDE'] : [],
    disks ? DISK_POWERS.flatMap((power) => ['--cap-add', power]) : [],
  ].flat();
}

function deviceArguments(paths: SandboxPaths, device: SandboxDevice, changing: boolean): string[] {
  const { given, real, kind, readOnlyNode } = device;
  const source = changing ? real : (readOnlyNode ?? real);
  const bind = kind === 'block' ? '--dev-bind' : changing ? '--bind' : '--ro-bind';
  const isUnderHidden = ['/dev', ...paths.hiddenDirectories].some((path) =>
    given.startsWith(`${path}/`),
  );
  // Elsewhere the read-only root already shows the symlink.
  const link = given !== real && isUnderHidden ? ['--symlink', real, given] : [];
  return [bind, source, real, ...link];
}

/** Of the state folder only the job's own folder is there, and read-only what it is to look at. */
function ownFolders(paths: SandboxPaths): string[] {
  const { stateDirectory, jobDirectory, undoneDirectory, observations, guard } = paths;
  return [
    ['--perms', '0700', '--tmpfs', stateDirectory],
    ['--bind', jobDirectory, jobDirectory],
    undoneDirectory === null ? [] : ['--ro-bind', undoneDirectory, undoneDirectory],
    observations === null ? [] : ['--ro-bind', observations, observations],
    guard === null ? [] : ['--ro-bind', guard, guard],
    guard === null ? [] : ['--bind', `${guard}/${DECISION_FOLDER}`, `${guard}/${DECISION_FOLDER}`],
  ].flat();
}
