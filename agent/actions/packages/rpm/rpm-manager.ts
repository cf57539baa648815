import type { CommandResult } from '../../../process/command.ts';
import type { ActionError } from '../../../runner/action.ts';

type Printed = Pick<CommandResult, 'out' | 'err' | 'exitStatus' | 'truncated'>;

/** A package by what makes it that one: `evr` is `[epoch:]version-release`, without an epoch of 0. */
export interface RpmName {
  name: string;
  architecture: string;
  evr: string;
}

/** What a package manager would do: `installed` and `upgraded` are what comes. */
export interface RpmTransaction {
  installed: RpmName[];
  upgraded: RpmName[];
  downgraded: RpmName[];
  reinstalled: RpmName[];
  /** Names of packages that would go, also those that another one replaces. */
  removed: string[];
}

/**
 * What a change of packages needs of the program that chooses and fetches rpms: command lines, and how to
 * read what that program prints. Nothing here runs anything or touches the server. `folder` is the job's own:
 * lists of packages lie in `FOLDER/cache`, packages that were fetched below `FOLDER/packages`, and earlier
 * versions below `FOLDER/earlier`.
 */
export interface RpmManager {
  readonly program: 'dnf' | 'zypper';
  /** Folders and files that decide what it chooses. */
  readonly settings: readonly string[];
  /** Folders of its own records, which an installation writes to. */
  readonly records: readonly string[];
  /** Files that hold its locks while it changes packages. */
  readonly locks: readonly string[];
  /** A package as the program is asked for it; without a version the newest. */
  word(name: string, evr: string | null): string;
  /** The same, as exact as it can be. */
  exactWord(entry: RpmName): string;
  refresh(folder: string): string[];
  simulate(folder: string, words: readonly string[]): string[];
  fetch(folder: string, words: readonly string[]): string[];
  /** Fetches installed versions once more. */
  fetchEarlier(folder: string, entries: readonly RpmName[]): string[];
  install(folder: string, words: readonly string[]): string[];
  /** Lists every version of these packages that the repositories have. */
  listAvailable(folder: string, names: readonly string[]): string[];
  readAvailable(done: Printed): RpmName[];
  /** Throws ActionError where the program cannot go on. */
  readSimulation(done: Printed): RpmTransaction;
  /** What it complains about without giving up. */
  complaints(done: Printed): string[];
  error(done: Printed): ActionError;
  /** Null for a line that says nothing about progress. */
  progress(line: string): { percent: number; text: string } | null;
}

export function evrOf(epoch: string, version: string): string {
  return epoch === '0' || epoch === '(none)' || epoch === '' ? version : `${epoch}:${version}`;
}

/** `name-version-release.arch`, as rpm(8) takes it. */
export function nvra({ name, architecture, evr }: RpmName): string {
  return `${name}-${evr.replace(/^\d+:/, '')}.${architecture}`;
}

/** A plan has commands of 64 words each. */
const NAMED_AT_ONCE = 40;

/** So many packages at once as a command of a plan can name. */
export function inCommands<Entry>(entries: readonly Entry[]): Entry[][] {
  const count = Math.ceil(entries.length / NAMED_AT_ONCE);
  return Array.from({ length: count }, (_, at) =>
    entries.slice(at * NAMED_AT_ONCE, (at + 1) * NAMED_AT_ONCE),
  );
}
