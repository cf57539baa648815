import type { Target } from '../../../target/open-target.ts';
import { findMissingInPam, PAM_FOLDER, type MissingInPam } from '../../diagnostics/accounts/pam.ts';
import type { Change } from '../../files/change-steps.ts';
import { readState } from '../../files/file-state.ts';

/** Modules that releases have taken out: lines that name them are left over from before an upgrade. */
const GONE = new Set(['pam_tally.so', 'pam_tally2.so', 'pam_cracklib.so', 'pam_stack.so']);
/** What checks the password, and what refuses without it: no stack is one without them. */
const NEVER = new Set(['pam_unix.so', 'pam_deny.so', 'pam_permit.so', 'pam_sss.so']);

/** The stacks that others include, as they are where nothing but local passwords is set up. */
const STACKS: Readonly<Record<string, readonly string[]>> = {
  'common-auth': [
    'auth [success=1 default=ignore] pam_unix.so nullok',
    'auth requisite pam_deny.so',
    'auth required pam_permit.so',
  ],
  'common-account': [
    'account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so',
    'account requisite pam_deny.so',
    'account required pam_permit.so',
  ],
  'common-password': [
    'password [success=1 default=ignore] pam_unix.so obscure',
    'password requisite pam_deny.so',
    'password required pam_permit.so',
  ],
  'common-session': [
    'session [default=1] pam_permit.so',
    'session requisite pam_deny.so',
    'session required pam_permit.so',
    'session required pam_unix.so',
  ],
};

/** What the four lines of a service that is missing are, by who logs in there. */
const SERVICES: Readonly<Record<string, { program: string; first: readonly string[] }>> = {
  sshd: { program: '/usr/sbin/sshd', first: ['account required pam_nologin.so'] },
  login: { program: '/bin/login', first: ['account requisite pam_nologin.so'] },
  su: { program: '/bin/su', first: ['auth sufficient pam_rootok.so'] },
  sudo: { program: '/usr/bin/sudo', first: [] },
};
const HEAD = '# Written anew, because it was missing or needed what is not there.';

export interface PamRepair {
  changes: Change[];
  findings: string[];
  left: string[];
}

/**
 * What is missing in the stacks of logging in. Files that are missing are written as their distribution has
 * them for local passwords. A line with a module that is missing is taken out only where that module is gone
 * from distributions, or where the order says so: it may be the second factor.
 *
 * @param without modules that may be taken out
 */
export async function repairPam(target: Target, without: readonly string[]): Promise<PamRepair> {
  const repair: PamRepair = { changes: [], findings: [], left: [] };
  const missing = await findMissingInPam(target.files);
  // Debian's names; where others are used nothing is written.
  const isDebians = (await target.files.list(PAM_FOLDER)).some((name) =>
    name.startsWith('common-'),
  );
  if (missing === null) return repair;
  await addServices(target, isDebians, repair);
  const written = new Set(repair.changes.map(({ path }) => path));
  const lines: MissingInPam[] = [];
  for (const one of missing) {
    if (one.kind === 'module') lines.push(one);
    else addStack(one, isDebians, written, repair);
  }
  for (const file of new Set(lines.map((one) => one.file))) {
    const own = lines.filter((one) => one.file === file);
    await takeOut(target, file, own, without, repair);
  }
  return repair;
}

async function addServices(target: Target, isDebians: boolean, repair: PamRepair): Promise<void> {
  for (const [name, { program, first }] of Object.entries(SERVICES)) {
    const path = `${PAM_FOLDER}/${name}`;
    if ((await target.files.lstat(path)) !== null || (await target.files.stat(program)) === null) {
      continue;
    }
    if (!isDebians) {
      repair.left.push(`${path} is missing: install the package of ${program} again.`);
      continue;
    }
    const includes = Object.keys(STACKS).map((stack) => `@include ${stack}`);
    repair.changes.push(newFile(path, [HEAD, ...first, ...includes]));
    repair.findings.push(`${path} is missing.`);
  }
}

function addStack(
  { name, file, line }: MissingInPam,
  isDebians: boolean,
  written: Set<string>,
  repair: PamRepair,
): void {
  const path = `${PAM_FOLDER}/${name}`;
  if (written.has(path)) return;
  written.add(path);
  const stack = isDebians ? STACKS[name] : undefined;
  if (stack === undefined) {
    repair.left.push(`${path} is missing (line ${line} of ${file}): install its package again.`);
    return;
  }
  repair.changes.push(newFile(path, [HEAD, ...stack]));
  repair.findings.push(
    `${path} is missing: it is written for local passwords; other ways to log in come back with pam-auth-update.`,
  );
}

function newFile(path: string, lines: readonly string[]): Change {
  return {
    kind: 'file',
    path,
    content: Buffer.from(`${lines.join('\n')}\n`),
    mode: 0o644,
    label: 'etc_t',
  };
}

async function takeOut(
  { root }: Target,
  path: string,
  missing: readonly MissingInPam[],
  without: readonly string[],
  repair: PamRepair,
): Promise<void> {
  const state = await readState(root, path);
  if (state === null) return;
  const lines = state.bytes.toString('latin1').split('\n');
  const refuse = ({ name, line }: MissingInPam, why: string) =>
    repair.left.push(`line ${line} of ${path} needs ${name}, which is not there: ${why}`);
  for (const one of missing) {
    const name = one.name.slice(one.name.lastIndexOf('/') + 1);
    if (NEVER.has(name)) refuse(one, 'install its package again.');
    else if (!GONE.has(name) && !without.includes(name)) {
      refuse(
        one,
        `install its package, or allow withoutModules=["${name}"] (the grant must name it).`,
      );
    } else if (isJumpedOver(lines, one.line - 1)) {
      const stack = STACKS[path.slice(PAM_FOLDER.length + 1)];
      if (stack === undefined) {
        refuse(one, 'a line before it counts lines; change the file by hand.');
        continue;
      }
      lines.splice(0, lines.length, HEAD, ...stack, '');
      repair.findings.push(
        `line ${one.line} of ${path} needs ${name}, which is not there: the file is written anew for local passwords; other ways to log in come back with pam-auth-update.`,
      );
      break;
    } else {
      lines[one.line - 1] = `# ${one.text}`;
      repair.findings.push(
        `line ${one.line} of ${path} needs ${name}, which is not there: it is taken out.`,
      );
    }
  }
  const content = Buffer.from(lines.join('\n'), 'latin1');
  if (content.equals(state.bytes)) return;
  repair.changes.push({ kind: 'file', path, content, mode: 0o644, liftsFlags: true });
}

/** Whether it, or a line before of the same type, jumps over lines (`success=2` of pam.d(5)) that would change. */
function isJumpedOver(lines: readonly string[], at: number): boolean {
  const typeOf = (line: string) => /^\s*-?(auth|account|password|session)\s/.exec(line)?.[1];
  const type = typeOf(lines[at]!);
  const before = lines.slice(0, at).filter((line) => typeOf(line) === type);
  const jumpsOf = (line: string) =>
    [...(/^[^[]*\[([^\]]*)\]/.exec(line)?.[1] ?? '').matchAll(/=(\d+)/g)]
      .map(([, count]) => Number(count))
      .filter((count) => count > 0);
  // What it jumps over itself is what refuses: without it everybody would be refused.
  if (jumpsOf(lines[at]!).length > 0) return true;
  return before.some((line, place) =>
    jumpsOf(line).some((count) => place + count >= before.length),
  );
}
