import { TargetFileError, TargetFiles } from '../../target/target-files.ts';
import { unboundedSettings } from './drop-in.ts';
import type { Unit } from './unit.ts';

/** Where systemd looks for units (systemd.unit(5)), its own folders between those of people. */
const SEARCH_PATH = ['/etc/systemd/system.control', '/run/systemd/system.control']
  .concat(['/run/systemd/transient', '/run/systemd/generator.early', '/etc/systemd/system'])
  .concat(['/etc/systemd/system.attached', '/run/systemd/system', '/run/systemd/system.attached'])
  .concat(['/run/systemd/generator', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system'])
  .concat(['/lib/systemd/system', '/run/systemd/generator.late']);
const MAX_BYTES = 1024 * 1024;

export interface SameNameDropIn {
  path: string;
  /** What it sets that only `service.override` may set or take away. */
  unbounded: string[];
}

/**
 * The drop-ins of one name that lie elsewhere than at `own` and apply to a unit. Of all with one name systemd
 * reads only the first, so to write that one hides the others, and to remove it brings them back.
 */
export async function sameNameDropIns(
  root: string,
  unit: Pick<Unit, 'id' | 'names'>,
  name: string,
  own: string,
): Promise<SameNameDropIn[]> {
  const files = new TargetFiles(root);
  const folders = new Set([unit.id, ...unit.names].flatMap(dropInFolders));
  const found: SameNameDropIn[] = [];
  for (const above of SEARCH_PATH) {
    for (const folder of folders) {
      const path = `${above}/${folder}/${name}.conf`;
      if (path === own) continue;
      const unbounded = await unboundedIn(files, path);
      if (unbounded !== null) found.push({ path, unbounded });
    }
  }
  return found;
}

/** Names of the folders for a unit: its own, its template's, one for each dash in its name, its type's. */
export function dropInFolders(unit: string): string[] {
  const type = unit.slice(unit.lastIndexOf('.') + 1);
  const stem = unit.slice(0, -type.length - 1);
  const [prefix = ''] = stem.split('@');
  const dashed = [...prefix.matchAll(/-/g)].map(({ index }) => prefix.slice(0, index + 1));
  const stems = [stem, ...(stem.includes('@') ? [`${prefix}@`] : []), ...dashed];
  return [...new Set(stems.map((one) => `${one}.${type}.d`)), `${type}.d`];
}

/** Null when nothing is there. What cannot be read whole may say anything. */
async function unboundedIn(files: TargetFiles, path: string): Promise<string[] | null> {
  try {
    const status = await files.stat(path);
    if (status === null) return null;
    // A link to /dev/null, which masks those of its name, says nothing itself.
    if (status.isCharacterDevice()) return [];
    if (status.size > MAX_BYTES) return ['too long to be read'];
    return unboundedSettings((await files.read(path, MAX_BYTES)) ?? '');
  } catch (error) {
    if (error instanceof TargetFileError) return ['what cannot be read'];
    throw error;
  }
}
