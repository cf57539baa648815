/** What the agent saw for a job that may only look; one file per observation. */
export interface Observation {
  /** Null unless the program ended by itself. */
  exitStatus: number | null;
  /** Why there is no whole answer. */
  problem: 'not_found' | 'not_applicable' | 'timed_out' | 'too_long' | 'not_started' | null;
  out: string;
  err: string;
  /** As a person would type it. */
  command: string;
}

/** Observations of every server; those of its disks are named `smart-` and the disk. */
export const observationNames = [
  'addresses',
  'block-devices',
  'folders',
  'homes',
  'iptables',
  'ip6tables',
  'kernel-log',
  'listening',
  'mounts',
  'nft',
  'nft-file',
  'routes',
  'routes6',
  'signatures',
  'space',
  'units',
] as const;
export type ObservationName = (typeof observationNames)[number] | `smart-${string}`;

/** Where the observations of jobs lie, below the state folder; each job sees its own, read-only. */
export const OBSERVED_FOLDER = 'observed';

/** In the folder of a job from the moment on when all its observations are there. */
export const OBSERVED_ALL = 'complete';

export function observationFile(name: string): string {
  return `${name}.json`;
}
