import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CommandStartError } from '../../../process/command-start-error.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { Cover } from '../../../target/offline/run-inside.ts';
import type { Target } from '../../../target/open-target.ts';
import type { Change } from '../../files/change-steps.ts';
import { PASSWD } from '../account.ts';
import { readState, type FileState } from '../../files/file-state.ts';
import { scratchFolder } from '../../filesystem/scratch-space.ts';

const SUDOERS = '/etc/sudoers';
const FOLDER = '/etc/sudoers.d';
export const SUDO = '/usr/bin/sudo';
const VISUDO = '/usr/sbin/visudo';
const MODE = 0o440;
const OTHERS_WRITE = 0o022;
const SET_USER_ID = 0o4000;
const MOST_FAULTS = 20;
const WITHIN_MS = 30_000;

export interface SudoRepair {
  changes: Change[];
  findings: string[];
  left: string[];
}

interface SudoFile {
  state: FileState;
  lines: string[];
  /** A drop-in that is put aside. */
  isAside: boolean;
}

/**
 * What keeps sudo from working: errors of its files, their modes, its own. A drop-in with an error is put aside
 * under a name that sudo passes over; in the main file the one line becomes a comment. Judged by the target's
 * own visudo, on copies.
 *
 * @param passwd as it is to become: visudo looks itself up there
 */
export async function repairSudo(
  context: ActionContext,
  target: Target,
  passwd: Buffer,
): Promise<SudoRepair> {
  const repair: SudoRepair = { changes: [], findings: [], left: [] };
  if ((await target.files.stat(SUDO)) === null) return repair;
  const files = await readFiles(target);
  const main = files.get(SUDOERS);
  if (main === undefined) {
    repair.left.push(`${SUDOERS} is missing: install the package sudo again.`);
    return repair;
  }
  await mendFiles(files, repair, () => askVisudo(context, target, files, passwd));
  for (const [path, file] of files) repair.changes.push(...changesOf(path, file, repair));
  await judgeProgram(target, repair);
  return repair;
}

async function readFiles(target: Target): Promise<Map<string, SudoFile>> {
  const files = new Map<string, SudoFile>();
  // Names with a dot, or that end in ~, are passed over (sudoers(5)).
  const names = (await target.files.list(FOLDER)).filter((name) => !/\.|~$/.test(name));
  for (const path of [SUDOERS, ...names.map((name) => `${FOLDER}/${name}`)]) {
    const state = await readState(target.root, path);
    if (state === null) continue;
    files.set(path, { state, lines: state.bytes.toString('latin1').split('\n'), isAside: false });
  }
  return files;
}

async function mendFiles(
  files: ReadonlyMap<string, SudoFile>,
  repair: SudoRepair,
  ask: () => Promise<string | null>,
): Promise<void> {
  for (let count = 0; count < MOST_FAULTS; count++) {
    const said = await ask();
    if (said === null) return;
    const fault = placeOf(said);
    const file = fault === null ? undefined : files.get(fault.path);
    if (fault === null || file === undefined || file.isAside) {
      repair.left.push(`visudo finds fault with what is not repaired here: ${said.slice(0, 300)}`);
      return;
    }
    const where = `line ${fault.line} of ${fault.path}: ${fault.what}.`;
    if (fault.path === SUDOERS) {
      commentOut(file, fault.line - 1);
      repair.findings.push(`${where} The line becomes a comment.`);
    } else {
      file.isAside = true;
      repair.findings.push(
        `${where} The file is put aside: what it allowed is not allowed any more.`,
      );
    }
  }
  throw new ActionError('sudoers_beyond_repair', `over ${MOST_FAULTS} errors`);
}

/** A line goes on in the next one after a backslash: all of it is taken out. */
function commentOut(file: SudoFile, at: number): void {
  let [first, last] = [at, at];
  while (first > 0 && file.lines[first - 1]!.endsWith('\\')) first--;
  while (last < file.lines.length - 1 && file.lines[last]!.endsWith('\\')) last++;
  for (let line = first; line <= last; line++) {
    const text = file.lines[line]!.replace(/(?<!\\)\\+$/, '');
    if (!text.trimStart().startsWith('#')) file.lines[line] = `# ${text}`;
  }
}

/** `FILE:LINE:COLUMN: what`, and the older `>>> FILE: what near line LINE <<<`. */
function placeOf(said: string): { path: string; line: number; what: string } | null {
  const now = /^(\/[^:\n\r\u2028\u2029]+):(\d+)(?::\d+)?: (.+)$/m.exec(said);
  if (now !== null) return { path: now[1]!, line: Number(now[2]), what: now[3]! };
  const old = /^>>> (\/[^:\n\r\u2028\u2029]+): (.+?) near line (\d+)/m.exec(said);
  return old === null ? null : { path: old[1]!, line: Number(old[3]), what: old[2]! };
}

/** What visudo says of the files as they are to become; null when it likes them. */
async function askVisudo(
  context: ActionContext,
  target: Target,
  files: ReadonlyMap<string, SudoFile>,
  passwd: Buffer,
): Promise<string | null> {
  const stage = join(await scratchFolder(context), 'sudo');
  const folder = join(stage, 'sudoers.d');
  await mkdir(folder, { recursive: true, mode: 0o755 });
  try {
    const covers: Cover[] = [{ at: PASSWD, with: join(stage, 'passwd') }];
    await writeFile(join(stage, 'passwd'), passwd);
    for (const [path, { lines, isAside }] of files) {
      if (isAside) continue;
      const place = join(path === SUDOERS ? stage : folder, basename(path));
      await writeFile(place, Buffer.from(lines.join('\n'), 'latin1'), { mode: MODE });
      if (path === SUDOERS) covers.push({ at: SUDOERS, with: place });
    }
    if ((await target.files.lstat(FOLDER)) !== null) covers.push({ at: FOLDER, with: folder });
    const done = await target.runInside([VISUDO, '-c'], {
      output: 'capture',
      timeoutMs: WITHIN_MS,
      covers,
    });
    return done.exitStatus === 0 ? null : `${done.err}\n${done.out}`.trim();
  } catch (error) {
    if (!(error instanceof CommandStartError) || error.failure !== 'not_found') throw error;
    throw new ActionError('visudo_missing', `${VISUDO} cannot be run: ${error.message}`);
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

function changesOf(
  path: string,
  { state, lines, isAside }: SudoFile,
  repair: SudoRepair,
): Change[] {
  const { uid, gid, mode } = state;
  const content = Buffer.from(lines.join('\n'), 'latin1');
  const isWrong = uid !== 0 || (mode & OTHERS_WRITE) !== 0;
  if (isAside) {
    const aside = `${FOLDER}/${basename(path)}.disabled`;
    return [
      {
        kind: 'file',
        path: aside,
        content: state.bytes,
        mode: MODE,
        owner: { uid: 0, gid: 0 },
        label: 'etc_t',
      },
      { kind: 'file', path, content: null, mode: 0, liftsFlags: true },
    ];
  }
  if (isWrong) {
    repair.findings.push(
      `${path} has mode 0${mode.toString(8)} and owner ${uid}: sudo refuses it.`,
    );
  }
  const corrects = isWrong ? { mode: MODE, uid: 0, gid: uid === 0 ? gid : 0 } : {};
  return [{ kind: 'file', path, content, mode: MODE, corrects, liftsFlags: true }];
}

/** Without the right to become root it can let nobody become root. */
async function judgeProgram({ files }: Target, repair: SudoRepair): Promise<void> {
  const found = await files.lstat(SUDO);
  if (found === null || !found.isFile()) return;
  if (found.uid !== 0) {
    repair.left.push(
      `${SUDO} belongs to user ${found.uid}, who could have changed it: install sudo again.`,
    );
    return;
  }
  const now = found.mode & 0o7777;
  const mode = (now | SET_USER_ID | 0o111) & ~OTHERS_WRITE;
  if (mode === now) return;
  repair.changes.push({ kind: 'attributes', path: SUDO, mode });
  repair.findings.push(`${SUDO} has mode 0${now.toString(8)}: it cannot become root.`);
}
