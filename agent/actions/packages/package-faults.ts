import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { aptError } from './apt-messages.ts';
import { PERMISSIVE, type AptSession } from './apt-session.ts';
import { lackingIn, readRecord, wrongHoldsIn, type Lacking } from './dpkg-record.ts';
import { DPKG_STATUS, listPackages, type InstalledPackage } from './installed-packages.ts';
import { lostRecord, type LostRecord } from './lost-record.ts';
import { audit } from './package-outcome.ts';

const DPKG = '/var/lib/dpkg';

/** What is wrong with the packages of a server, the one that hinders the others first. */
export type PackageFault =
  /** dpkg's record is empty or gone, while packages are there. */
  | ({ kind: 'record_lost' } & LostRecord)
  /** dpkg was cut off while it wrote its record. */
  | { kind: 'interrupted' }
  /** Packages that only the archive they came from can bring in order. */
  | { kind: 'reinstall'; packages: InstalledPackage[] }
  /** Packages need other versions of packages that are held back. */
  | { kind: 'held'; wrong: Lacking[] }
  /** Packages lack others they need. */
  | { kind: 'dependencies'; said: string }
  /** Packages that are unpacked and not configured. */
  | { kind: 'unfinished'; packages: InstalledPackage[]; audit: string };

/** Null when dpkg and apt find nothing wrong. Changes nothing. */
export async function findFault(
  context: ActionContext,
  session: AptSession,
): Promise<PackageFault | null> {
  const lost = await lostRecord(new TargetFiles());
  if (lost !== null) return { kind: 'record_lost', ...lost };
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
    const record = readRecord(await readFile(DPKG_STATUS, 'utf8'));
    const wrong = wrongHoldsIn(record, lackingIn(record));
    if (wrong.length > 0) return { kind: 'held', wrong };
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
