import { fulfils } from './debian-version.ts';

/** More than dpkg's record of ten thousand packages. */
export const RECORD_MAX_BYTES = 64 * 1024 * 1024;
/** Far more than any package names in one field. */
const RELATIONS_MAX = 10_000;
/** Versions of one name that are compared. */
const OFFERS_MAX = 100;

/** A package as dpkg's record has it (deb-control(5), dpkg(1)). */
export interface RecordedPackage {
  name: string;
  architecture: string;
  version: string;
  /** `installed`, `half-configured`, `config-files`, ... */
  state: string;
  /** dpkg can do nothing with it but install it anew. */
  needsReinstall: boolean;
  /** Somebody wants it to stay as it is (apt-mark(8)). */
  isHeld: boolean;
  /** Fields as they are written. */
  depends: string;
  provides: string;
}

/** A package that another one needs and that is not there in a fitting version. */
export interface Lacking {
  name: string;
  /** Who needs it. */
  by: string;
}

/** Reads a record; what is no paragraph of a package is left out. */
export function readRecord(text: string): RecordedPackage[] {
  return text
    .split(/\n(?:[ \t]*\n)+/)
    .map(paragraph)
    .filter((entry) => entry !== null);
}

function paragraph(text: string): RecordedPackage | null {
  const fields = new Map<string, string>();
  for (const [, name, value] of text.matchAll(/^([A-Za-z][\w-]*):[ \t]*(.*)$/gm)) {
    fields.set(name!.toLowerCase(), value!.trim());
  }
  const name = fields.get('package');
  if (name === undefined) return null;
  const [want, flag = '', state = ''] = (fields.get('status') ?? '').split(/\s+/);
  return {
    name,
    architecture: fields.get('architecture') ?? '',
    version: fields.get('version') ?? '',
    state,
    needsReinstall: flag === 'reinstreq',
    isHeld: want === 'hold',
    depends: [fields.get('pre-depends'), fields.get('depends')]
      .filter((field) => field !== undefined)
      .join(', '),
    provides: fields.get('provides') ?? '',
  };
}

/** Its files are there, whether or not it is set up. */
export function isThere({ state }: RecordedPackage): boolean {
  return state !== '' && !['not-installed', 'config-files'].includes(state);
}

/** Those that dpkg is not through with. */
export function unfinishedIn(record: readonly RecordedPackage[]): RecordedPackage[] {
  return record.filter((entry) => isThere(entry) && entry.state !== 'installed');
}

/** What packages that are there need and have not, in the order of the record; each name once. */
export function lackingIn(record: readonly RecordedPackage[]): Lacking[] {
  const offered = new Map<string, Set<string | null>>();
  const offer = (name: string, version: string | null) => {
    const versions = offered.get(name);
    if (versions === undefined) offered.set(name, new Set([version]));
    else if (versions.size < OFFERS_MAX) versions.add(version);
  };
  const there = record.filter(isThere);
  for (const { name, version, provides } of there) {
    offer(name, version);
    for (const [given] of relationsOf(provides)) {
      if (given !== undefined) offer(given.name, given.relation === '=' ? given.version : null);
    }
  }
  const isMet = ({ name, relation, version }: Relation) => {
    const versions = offered.get(name);
    if (versions === undefined || relation === null) return versions !== undefined;
    // A virtual package without a version fulfils no relation that names one.
    return [...versions].some((own) => own !== null && fulfils(own, relation, version));
  };
  const lacking = new Map<string, Lacking>();
  for (const { name: by, depends } of there) {
    for (const alternatives of relationsOf(depends)) {
      const [first] = alternatives;
      if (first === undefined || alternatives.some(isMet) || lacking.has(first.name)) continue;
      lacking.set(first.name, { name: first.name, by });
    }
  }
  return [...lacking.values()];
}

/** Of what is lacking, what is held back in a version that others cannot use. */
export function wrongHoldsIn(
  record: readonly RecordedPackage[],
  lacking: readonly Lacking[],
): Lacking[] {
  const held = new Set(record.filter(({ isHeld }) => isHeld).map(({ name }) => name));
  return lacking.filter(({ name }) => held.has(name));
}

interface Relation {
  name: string;
  relation: string | null;
  version: string;
}

/** `a (>= 1) | b, c`: all of the outer list, one of each inner one. What cannot be read is left out. */
function relationsOf(field: string): Relation[][] {
  return field.split(',', RELATIONS_MAX).map((group) =>
    group.split('|', RELATIONS_MAX).flatMap((text): Relation[] => {
      const found =
        /^\s*([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|<|=|>=|>>|>)\s*([^\s)]+)\s*\))?/.exec(
          text,
        );
      if (found === null) return [];
      const [, name, relation = null, version = ''] = found;
      return [{ name: name!, relation, version }];
    }),
  );
}
