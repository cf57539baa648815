import type { CommandResult } from '../../process/command.ts';
import { ActionError } from '../../runner/action.ts';
import { aptError } from './apt-messages.ts';
import { PERMISSIVE, type AptSession } from './apt-session.ts';

/** One package that apt would install, or replace by another version. */
export interface PlannedPackage {
  name: string;
  architecture: string;
  from: string | null;
  to: string;
}

export interface Transaction {
  packages: PlannedPackage[];
  /** Packages that are unpacked already and would only be configured. */
  configured: string[];
  removed: string[];
  downgraded: string[];
  held: string[];
}

const INST = /^Inst ([^\s:]+)(?::\S+)? (?:\[([^\]]+)\] )?\((\S+) .*\[([a-z0-9-]+)\]\)/;
const CONF = /^Conf ([^\s:]+)/;
const REMOVED = /^(?:Remv|Purg) (\S+)/;

/** What `apt-get install` would do with these words; it changes nothing and needs no lock. */
export async function simulate(
  session: AptSession,
  words: readonly string[],
): Promise<Transaction> {
  const done = await session.run(
    ['--simulate', '-o', 'Debug::NoLocking=true', ...PERMISSIVE, ...words],
    { output: 'capture' },
  );
  if (done.exitStatus !== 0) throw aptError(done);
  return readSimulation(done);
}

/** Throws ActionError when apt says more than can be read. */
export function readSimulation({ out, truncated }: Pick<CommandResult, 'out' | 'truncated'>) {
  if (truncated) throw new ActionError('plan_too_large', 'apt would change too many packages');
  const lines = out.split('\n');
  const packages = lines.flatMap((line): PlannedPackage[] => {
    const [, name, from, to, architecture] = INST.exec(line) ?? [];
    return name === undefined
      ? []
      : [{ name, architecture: architecture!, from: from ?? null, to: to! }];
  });
  const changed = new Set(packages.map(({ name }) => name));
  return {
    packages: packages.toSorted((a, b) => compare(sortKey(a), sortKey(b))),
    configured: firstWords(lines, CONF).filter((name) => !changed.has(name)),
    removed: firstWords(lines, REMOVED),
    downgraded: section(lines, 'The following packages will be DOWNGRADED:'),
    held: section(lines, 'The following held packages will be changed:'),
  } satisfies Transaction;
}

/** Refuses what is never done, and names every package it concerns. */
export function refuseForbidden({
  removed,
  downgraded,
  held,
}: Pick<Transaction, 'removed' | 'downgraded' | 'held'>): void {
  const refuse = (reason: string, what: string, names: readonly string[]) => {
    if (names.length === 0) return;
    throw new ActionError(reason, `${what}: ${names.join(', ')}. Nothing was changed.`);
  };
  refuse('would_remove', 'this cannot be installed without removing', removed);
  refuse('would_change_held', 'this would change packages that are held on the server', held);
  refuse('would_downgrade', 'this would put older versions over newer ones', downgraded);
}

function firstWords(lines: readonly string[], pattern: RegExp): string[] {
  const words = lines.map((line) => pattern.exec(line)?.[1]).filter((word) => word !== undefined);
  return [...new Set(words)].toSorted(compare);
}

function section(lines: readonly string[], title: string): string[] {
  const start = lines.indexOf(title);
  if (start === -1) return [];
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => !line.startsWith('  '));
  return rest
    .slice(0, end === -1 ? undefined : end)
    .flatMap((line) => line.trim().split(/\s+/))
    .toSorted(compare);
}

function sortKey({ name, architecture }: PlannedPackage): string {
  return `${name}:${architecture}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
