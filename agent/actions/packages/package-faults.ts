import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import { aptError } from './apt-messages.ts';
import { PERMISSIVE, type AptSession } from './apt-session.ts';
import { DPKG_STATUS, listPackages, type InstalledPackage } from './installed-packages.ts';
import { audit } from './package-outcome.ts';

const DPKG = '/var/lib/dpkg';
/** Copies of dpkg's record, the newest first: dpkg's own, then those its daily job keeps. */
const COPIES = [`${DPKG}/status-old`, '/var/backups/dpkg.status.0'];
/** A copy may lack a few packages of late; one that lacks more is of another time. */
const MISSING_SHARE = 0.1;

/** What is wrong with the packages of a server, the one that hinders the others first. */
export type PackageFault =
  /** dpkg's record is empty or gone, while packages are there. */
  | { kind: 'record_lost'; copy: string | null; known: number; there: number }
  /** dpkg was cut off while it wrote its record. */
  | { kind: 'interrupted' }
  /** Packages that only the archive they came from can bring in order. */
  | { kind: 'reinstall'; packages: InstalledPackage[] }
  /** Packages lack others they need. */
  | { kind: 'dependencies'; said: string }
  /** Packages that are unpacked and not configured. */
  | { kind: 'unfinished'; packages: InstalledPackage[]; audit: string };

/** Null when dpkg and apt find nothing wrong. Changes nothing. */
export async function findFault(
  context: ActionContext,
  session: AptSession,
): Promise<PackageFault | null> {
  const lost = await recordFault();
  if (lost !== null) return lost;
  if (await isInterrupted()) return { kind: 'interrupted' };
  const packages = await listPackages(context);
  const broken = packages.filter(({ needsReinstall }) => needsReinstall);
  if (broken.length > 0) return { kind: 'reinstall', packages: broken };
  const words = ['--simulate', '-o', 'Debug::NoLocking=true', ...PERMISSIVE, 'install'];
  const checked = await session.run(words, { output: 'capture' });
  if (checked.exitStatus !== 0) {
    const error = aptError(checked);
    if (error.reason !== 'dependencies_broken' && error.reason !== 'dependencies_unmet')
      throw error;
    return { kind: 'dependencies', said: error.message };
  }
  const unfinished = packages.filter(
    ({ state }) => state !== 'installed' && state !== 'config-files',
  );
  const said = await audit(context);
  if (unfinished.length === 0 && said === '') return null;
  return { kind: 'unfinished', packages: unfinished, audit: said };
}

/** Whether dpkg was cut off: apt looks only when it takes the lock, which a simulation does not. */
export async function isInterrupted(): Promise<boolean> {
  const names = await readdir(join(DPKG, 'updates'));
  return names.some((name) => /^\d+$/.test(name));
}

/** Whether dpkg has lost its record: apt would then take nothing for installed. */
export async function recordFault(): Promise<PackageFault | null> {
  const known = packagesIn(await readText(DPKG_STATUS));
  const names = await readdir(join(DPKG, 'info'));
  const there = new Set(
    names
      .filter((name) => name.endsWith('.list'))
      .map((name) => name.replace(/(?::\w+)?\.list$/, '')),
  );
  if (known.size > 0 || there.size === 0) return null;
  for (const copy of COPIES) {
    const copied = packagesIn(await readText(copy));
    const missing = [...there].filter((name) => !copied.has(name)).length;
    if (copied.size > 0 && missing <= there.size * MISSING_SHARE) {
      return { kind: 'record_lost', copy, known: copied.size, there: there.size };
    }
  }
  return { kind: 'record_lost', copy: null, known: 0, there: there.size };
}

async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

/** Names of the packages in a record of dpkg's. */
export function packagesIn(status: string): Set<string> {
  return new Set([...status.matchAll(/^Package: (\S+)$/gm)].map((match) => match[1]!));
}
