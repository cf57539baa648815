import type { Target } from '../../../target/open-target.ts';
import { isLoginShell, parsePasswd } from '../../diagnostics/accounts/account-files.ts';
import type { Change } from '../../files/change-steps.ts';
import { readState, type FileAttributes, type FileState } from '../../files/file-state.ts';
import { PASSWD, SHADOW } from '../account.ts';
import { DatabaseLines, withoutHashes } from '../database-lines.ts';

const GROUP = '/etc/group';
const GSHADOW = '/etc/gshadow';
const HASH = /^(?:\$[0-9a-z-]+\$.{8,}|_[./0-9A-Za-z]{19})$/;

export interface DatabaseRepair {
  changes: Change[];
  findings: string[];
  /** What only a person can mend. */
  left: string[];
}

interface FileKind {
  path: string;
  fields: number;
  /** Whether everybody reads it, or nobody but root and perhaps a group. */
  isPublic: boolean;
  /** An entry for a name whose line cannot be read and is in no older copy; null: none can be made. */
  rebuild: (name: string, fields: readonly string[]) => string[] | null;
}

const KINDS: Record<'passwd' | 'shadow' | 'group' | 'gshadow', FileKind> = {
  passwd: {
    path: PASSWD,
    fields: 7,
    isPublic: true,
    rebuild: (name) =>
      name === 'root' ? ['root', 'x', '0', '0', 'root', '/root', '/bin/bash'] : null,
  },
  shadow: { path: SHADOW, fields: 9, isPublic: false, rebuild: shadowEntry },
  group: {
    path: GROUP,
    fields: 4,
    isPublic: true,
    rebuild: (name) => (name === 'root' ? ['root', 'x', '0', ''] : null),
  },
  gshadow: { path: GSHADOW, fields: 4, isPublic: false, rebuild: (name) => [name, '!', '', ''] },
};

/** A hash that can be read is kept; without one nobody logs in with a password. */
function shadowEntry(name: string, fields: readonly string[]): string[] {
  const [, hash = '', ...rest] = fields;
  const isWhole = HASH.test(hash);
  const kept = isWhole ? rest.slice(0, 7).map((one) => (/^\d*$/.test(one) ? one : '')) : [];
  return [
    name,
    isWhole ? hash : '!',
    ...kept,
    ...Array.from({ length: 7 - kept.length }, () => ''),
  ];
}

/**
 * The account files as the system's own older copies have them (`/etc/shadow-` and its like), line by line:
 * only lines that cannot be read are replaced, and a file that is missing or empty as a whole. Nobody gets a
 * password that they had not.
 */
export async function repairDatabase(target: Target): Promise<DatabaseRepair> {
  const repair: DatabaseRepair = { changes: [], findings: [], left: [] };
  const passwd = await repairFile(target, KINDS.passwd, repair);
  const shadowAt = repair.changes.length;
  const shadow = await repairFile(target, KINDS.shadow, repair);
  await addMissing(target, passwd, shadow, shadowAt, repair);
  await repairFile(target, KINDS.group, repair);
  if ((await target.files.lstat(GSHADOW)) !== null) {
    await repairFile(target, KINDS.gshadow, repair);
  }
  return repair;
}

/** Returns what the file is to become; null when it is missing and nothing can be made of it. */
async function repairFile(
  target: Target,
  kind: FileKind,
  repair: DatabaseRepair,
): Promise<DatabaseLines | null> {
  const { path } = kind;
  const state = await readState(target.root, path);
  const older = await olderCopy(target, kind);
  const isEmpty = state === null || state.bytes.toString('latin1').trim() === '';
  const start = isEmpty ? older : new DatabaseLines(path, state.bytes.toString('latin1'));
  if (isEmpty) {
    const what = `${path} is ${state === null ? 'missing' : 'empty'}`;
    if (older === null && kind !== KINDS.shadow) {
      repair.left.push(`${what}, and there is no older copy of it: put one back from a backup.`);
      return null;
    }
    repair.findings.push(
      older === null
        ? `${what}, and without an older copy.`
        : `${what}: its older copy ${path}- is put back.`,
    );
  }
  const lines = mendLines(start ?? new DatabaseLines(path, ''), kind, older, repair);
  const corrects = state === null ? {} : rightAttributes(kind, state);
  if (Object.keys(corrects).length > 0) {
    repair.findings.push(`${path} has mode 0${state!.mode.toString(8)} and owner ${state!.uid}.`);
  }
  repair.changes.push({
    kind: 'file',
    path,
    content: lines.bytes,
    mode: kind.isPublic ? 0o644 : 0o640,
    owner: { uid: 0, gid: kind.isPublic ? 0 : await shadowGroup(target) },
    corrects,
    label: kind.isPublic ? 'passwd_file_t' : 'shadow_t',
    liftsFlags: true,
    shown: withoutHashes,
  });
  return lines;
}

/** Each line that cannot be read becomes the one of the older copy, or what can be saved of it. */
function mendLines(
  start: DatabaseLines,
  kind: FileKind,
  older: DatabaseLines | null,
  repair: DatabaseRepair,
): DatabaseLines {
  let lines = start;
  const broken = start.entries().filter(([, line]) => !isEntry(line, kind));
  // From the end on, so that the numbers of those before stay.
  for (const [at, line] of broken.toReversed()) {
    const fields = line.split(':');
    const name = fields[0]!;
    const isNamed = /^[A-Za-z_][A-Za-z0-9_.-]*\$?$/.test(name) && fields.length > 1;
    const again = isNamed ? (older?.entry(name) ?? kind.rebuild(name, fields)) : null;
    const where = `line ${at + 1} of ${kind.path}`;
    if (again === null) {
      repair.left.push(`${where} cannot be read, and there is no older copy of it.`);
      continue;
    }
    const from =
      older?.entry(name) === again ? ` and is taken from ${kind.path}-` : ' and is made anew';
    repair.findings.push(`${where} (${name}) cannot be read${from}.`);
    lines = lines.withLine(at, again.join(':'));
  }
  if (kind === KINDS.shadow || kind === KINDS.gshadow) return lines;
  const root = kind.rebuild('root', []);
  if (lines.entry('root') === null && root !== null) {
    repair.findings.push(`${kind.path} has no line for root.`);
    lines = lines.withAdded(older?.entry('root') ?? root);
  }
  return lines;
}

function isEntry(line: string, { fields }: FileKind): boolean {
  // NIS: `+` and `-` entries stand for other databases.
  if (/^[+-]/.test(line)) return true;
  const parts = line.split(':');
  return parts.length === fields && parts[0] !== '';
}

/** Accounts that shadow(5) does not know: nothing runs as one, not even what root starts. */
async function addMissing(
  target: Target,
  passwd: DatabaseLines | null,
  shadow: DatabaseLines | null,
  at: number,
  repair: DatabaseRepair,
): Promise<void> {
  if (passwd === null || shadow === null) return;
  const older = await olderCopy(target, KINDS.shadow);
  const names: string[] = [];
  let lines = shadow;
  for (const { name, shell } of parsePasswd(passwd.text)) {
    if (lines.entry(name) !== null || passwd.entry(name)?.[1] !== 'x') continue;
    const [, , ...rest] = shadowEntry(name, []);
    const none = [name, isLoginShell(shell) ? '!' : '*', ...rest];
    lines = lines.withAdded(older?.entry(name) ?? none);
    names.push(name);
  }
  if (names.length > 0) {
    repair.findings.push(`${SHADOW} has no line for ${names.slice(0, 20).join(', ')}.`);
  }
  const change = repair.changes[at];
  if (change?.kind === 'file') change.content = lines.bytes;
}

/** The copy that shadow(5)'s own programs leave, if all of it can be read. */
async function olderCopy({ root }: Target, kind: FileKind): Promise<DatabaseLines | null> {
  const lines = await DatabaseLines.read(root, `${kind.path}-`).catch(() => null);
  if (lines === null || lines.entry('root') === null) return null;
  return lines.entries().every(([, line]) => isEntry(line, kind)) ? lines : null;
}

/** Those that hold hashes of passwords. */
export const SECRET_FILES = [SHADOW, GSHADOW];

/** Only what lets others read secrets or write, or keeps everybody from looking names up. */
export function rightAttributes(
  { isPublic }: Pick<FileKind, 'isPublic'>,
  state: Pick<FileState, 'mode' | 'uid'>,
): Partial<FileAttributes> {
  const mode = isPublic ? (state.mode & ~0o022) | 0o644 : state.mode & ~0o027;
  return {
    ...(mode !== state.mode && { mode }),
    ...(state.uid !== 0 && { uid: 0 }),
  };
}

/** Debian's group of those who may read hashes; root's elsewhere. */
async function shadowGroup({ files }: Target): Promise<number> {
  const text = (await files.read(GROUP)) ?? '';
  return Number(/^shadow:[^:]*:(\d+):/m.exec(text)?.[1] ?? 0);
}
