import { ActionError } from '../../runner/action.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import { dropInFolders } from './same-name-drop-ins.ts';
import type { ProtectableUnit } from './protected-unit.ts';

export const OWN_UNITS = '/etc/systemd/system';
/** Where packages put theirs, in the order systemd looks (systemd.unit(5)). */
const VENDOR_UNITS = ['/usr/local/lib/systemd/system', '/usr/lib/systemd/system'].concat([
  '/lib/systemd/system',
]);
const ACTIONS = /^(?:SuccessAction|FailureAction|StartLimitAction|JobTimeoutAction)$/;
const STARTS = /^(?:OnFailure|OnSuccess|Upholds|Wants|Requires|BindsTo|Sockets|Unit)$/;

/** A unit as its files say, of a system that does not run. */
export interface StoredUnit extends ProtectableUnit {
  id: string;
  /** The file that says what it is; null when there is none but a mask. */
  file: string | null;
  isMasked: boolean;
  /** The command that starts it, as it is written; empty where it has none. */
  programWords: string;
  /** Words of its [Install] section, by key: `WantedBy`, `RequiredBy`, `Alias`. */
  install: ReadonlyMap<string, readonly string[]>;
}

/** Reads a unit of the target. Throws ActionError `unit_not_found` when no folder has it. */
export async function readStoredUnit(files: TargetFiles, id: string): Promise<StoredUnit> {
  const own = `${OWN_UNITS}/${id}`;
  const isMasked = await isMask(files, own);
  const template = id.replace(/@.+\./, '@.');
  const names = [...new Set([id, template])];
  const places = [isMasked ? [] : [OWN_UNITS], VENDOR_UNITS].flat();
  const candidates = places.flatMap((folder) => names.map((name) => `${folder}/${name}`));
  let file: string | null = null;
  let text = '';
  for (const path of candidates) {
    const said = await files.read(path).catch(() => null);
    if (said === null) continue;
    file = path;
    text = said;
    break;
  }
  if (file === null && !isMasked) {
    throw new ActionError('unit_not_found', `there is no unit ${id} on the disks`);
  }
  const settings = parseSettings(`${text}\n${await dropInTexts(files, id)}`);
  const words = (key: RegExp, section?: string) =>
    settings
      .filter((one) => key.test(one.key) && (section === undefined || one.section === section))
      .flatMap(({ value }) => value.split(/\s+/).filter(Boolean));
  return {
    id,
    names: [],
    file,
    isMasked,
    programWords: settings.findLast(({ key }) => key === 'ExecStart')?.value ?? '',
    install: new Map(
      ['WantedBy', 'RequiredBy', 'Alias'].map((key) => [
        key,
        words(new RegExp(`^${key}$`), 'Install'),
      ]),
    ),
    systemActions: settings
      .filter(({ key, value }) => ACTIONS.test(key) && value !== '' && value !== 'none')
      .map(({ key, value }) => `${key}=${value}`),
    starts: words(STARTS, 'Unit').concat(words(STARTS, 'Timer'), words(STARTS, 'Path')),
    standing: { active: 'inactive' },
  };
}

/** A link to /dev/null or an empty file masks the unit of its name (systemd.unit(5)). */
async function isMask(files: TargetFiles, path: string): Promise<boolean> {
  const found = await files.lstat(path).catch(() => null);
  if (found === null) return false;
  if (found.isSymbolicLink()) return (await files.readLink(path)) === '/dev/null';
  return found.isFile() && found.size === 0;
}

async function dropInTexts(files: TargetFiles, id: string): Promise<string> {
  const texts: string[] = [];
  for (const above of [OWN_UNITS, ...VENDOR_UNITS]) {
    for (const folder of dropInFolders(id)) {
      for (const name of await files.list(`${above}/${folder}`).catch((): string[] => [])) {
        if (!name.endsWith('.conf')) continue;
        texts.push((await files.read(`${above}/${folder}/${name}`).catch(() => null)) ?? '');
      }
    }
  }
  return texts.join('\n');
}

interface Setting {
  section: string;
  key: string;
  value: string;
}

function parseSettings(text: string): Setting[] {
  let section = '';
  return text
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .flatMap((line): Setting[] => {
      const [, title] = /^\s*\[(.*)\]\s*$/.exec(line) ?? [];
      if (title !== undefined) section = title;
      const [, key, value] = /^\s*([A-Za-z]+)\s*=(.*)$/s.exec(line) ?? [];
      return key === undefined ? [] : [{ section, key, value: value!.trim() }];
    });
}
