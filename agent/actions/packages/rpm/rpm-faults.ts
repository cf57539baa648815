import type { ActionContext } from '../../../runner/action.ts';
import { lackingLinesOf } from './record-copy.ts';
import { evrOf, nvra, type RpmName } from './rpm-manager.ts';
import { readRecord, runRpm, runRpmProgram } from './rpm-records.ts';

/** One package in several versions, of which only the one that came last is meant to be there. */
export interface DuplicateRpm {
  stays: RpmName;
  goes: RpmName[];
}

/** What is wrong with the packages of a server with rpm, the one that hinders the others first. */
export type RpmFault =
  /** rpm cannot read its record, or finds it damaged. */
  | { kind: 'record_damaged'; said: string }
  /** A change was cut off between a new version and the removal of the old one. */
  | { kind: 'duplicates'; duplicates: DuplicateRpm[] }
  /** Packages lack what they need (`wanted`, as packages provide it), or are beside others that they rule out. */
  | { kind: 'dependencies'; wanted: string[]; needs: string[]; conflicts: string[] };

const NEEDS = /^(.+?) is needed by /;
const NAMES = '%{DBINSTANCE}\\t%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\n';
/** Packages that may be there in several versions at once: kernels (dnf.conf(5), zypp.conf). */
const MULTIPLE = /^(?:installonlypkg\(|multiversion\(|kernel(?:-core|-modules)? |kernel-uname-r)/m;

/** Null when rpm finds nothing wrong. Changes nothing. */
export async function findRpmFault(context: ActionContext): Promise<RpmFault | null> {
  const said = await damageSaid(context);
  if (said !== '') return { kind: 'record_damaged', said };
  const duplicates = await findDuplicates(context);
  if (duplicates.length > 0) return { kind: 'duplicates', duplicates };
  const lines = await lackingLinesOf(context);
  if (lines.length === 0) return null;
  return { kind: 'dependencies', wanted: wantedOf(lines), ...splitLacking(lines) };
}

/** What rpm says of a record that it cannot read or finds damaged; empty when all is well. */
export async function damageSaid(context: ActionContext): Promise<string> {
  const { said: unread } = await readRecord(context);
  if (unread !== '') return unread;
  const verified = await runRpmProgram(context, ['rpmdb', '--verifydb']);
  if (verified.exitStatus === 0) return '';
  const said = verified.err.trim();
  return said === '' ? `rpmdb --verifydb ended with ${verified.exitStatus}` : said;
}

/** Packages in several versions that are no kernels. */
export async function findDuplicates(context: Pick<ActionContext, 'run'>): Promise<DuplicateRpm[]> {
  const { out } = await runRpm(context, ['--query', '--all', '--queryformat', NAMES]);
  const found: DuplicateRpm[] = [];
  for (const duplicate of readDuplicates(out)) {
    const provided = await runRpm(context, ['--query', '--provides', nvra(duplicate.stays)]);
    if (!MULTIPLE.test(provided.out)) found.push(duplicate);
  }
  return found;
}

/** Those of one name and architecture; the number that the record gave them says which came last. */
export function readDuplicates(out: string): DuplicateRpm[] {
  const byName = new Map<string, { at: number; entry: RpmName }[]>();
  for (const line of out.split('\n')) {
    const [at, name, epoch, version, architecture] = line.split('\t');
    if (architecture === undefined || name === 'gpg-pubkey') continue;
    const entry = { name: name!, architecture, evr: evrOf(epoch!, version!) };
    const key = `${name}.${architecture}`;
    byName.set(key, [...(byName.get(key) ?? []), { at: Number(at), entry }]);
  }
  return [...byName.values()]
    .filter((entries) => entries.length > 1)
    .map((entries) => entries.toSorted((a, b) => b.at - a.at).map(({ entry }) => entry))
    .map(([stays, ...goes]) => ({ stays: stays!, goes }))
    .toSorted((a, b) => (nvra(a.stays) < nvra(b.stays) ? -1 : 1));
}

/**
 * Tells what is lacking from what is there and must not be, as in `svc conflicts with (installed) foe-1-1.noarch`:
 * nothing that comes mends that, and which of the two goes is no program's decision.
 */
export function splitLacking(lines: readonly string[]): { needs: string[]; conflicts: string[] } {
  return {
    needs: lines.filter((line) => NEEDS.test(line)),
    conflicts: lines.filter((line) => !NEEDS.test(line)),
  };
}

/** `alpha-extra` of `alpha-extra is needed by (installed) alpha-2.0-1.noarch`, each once. */
export function wantedOf(lines: readonly string[]): string[] {
  const wanted = lines.flatMap((line) => NEEDS.exec(line)?.[1] ?? []);
  return [...new Set(wanted)].toSorted();
}
