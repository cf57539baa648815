import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from '../../process/command.ts';
import { CommandStartError } from '../../process/command-start-error.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetFolder, TargetRoot } from '../../target/target-root.ts';
import { scratchFolder } from '../filesystem/scratch-space.ts';
import { readState } from './file-state.ts';

type Running = Pick<ActionContext, 'run'>;
/** What looking up and giving labels needs. */
export type Labelling = Pick<ActionContext, 'run' | 'directory'>;

const SETTINGS = '/etc/selinux/config';
const NAME = 'security.selinux';
const LABEL = /^[^:\s]+:[^:\s]+:[^:\s]+(?::\S+)?$/;
/** Of selabel_file(5): those of every path, of homes, of the administrator; then which paths count as others. */
const CONTEXTS: readonly string[] = ['', '.homedirs', '.local', '.subs', '.subs_dist'];
/** The largest of a distribution has half a MiB. */
const CONTEXTS_MAX_BYTES = 4 * 1024 * 1024;
/** The policy of a target may hold expressions that never end. */
const LOOKED_UP_WITHIN_MS = 10_000;

/** While it is there the next boot labels every file anew, and takes it away (selinux-autorelabel(8)). */
export const RELABEL_ALL = '/.autorelabel';

/** How matchpathcon(8) names what a path is. */
export type LabelledKind = 'file' | 'dir' | 'lnk_file';

/**
 * Gives something new the label of SELinux that the policy of its system wants there: that of the folder it
 * lies in, with a type of its own. The kernel of a rescue system would give it none, and the system itself
 * would then not read it. Nothing where the target does not use SELinux, or its folder has no label.
 *
 * @param descriptor of an open file or folder
 * @param type as in `ssh_home_t`; without it what the policy has for the path, else the type of the folder, as
 *   the kernel of the system itself would do
 */
export async function giveLabel(
  context: Labelling,
  root: TargetRoot,
  folder: TargetFolder,
  descriptor: number,
  { type, path, kind }: { type?: string | undefined; path: string; kind: LabelledKind },
): Promise<void> {
  if (type === undefined && isRunning(root)) return;
  if (!(await usesLabels(root))) return;
  const above = await readLabel(context, folder.descriptor);
  if (above === null) return;
  const wanted = type === undefined ? await policyLabel(context, root, path, kind) : null;
  const [user = '', role = '', inherited, ...level] = (wanted ?? above).split(':');
  await writeLabel(context, descriptor, [user, role, type ?? inherited, ...level].join(':'));
}

/** Whose own kernel labels what is new, by its folder. */
export function isRunning(root: TargetRoot): boolean {
  return root.path === '/';
}

export async function usesLabels(root: TargetRoot): Promise<boolean> {
  const text = await settingsOf(root);
  return /^[ \t]*SELINUX[ \t]*=[ \t]*(?:enforcing|permissive)[ \t]*$/m.test(text);
}

/**
 * The label that the target's own policy has for a path (selabel_file(5)); null where it has none, or nobody
 * here can look it up. libselinux gets copies: beside the files it would take compiled expressions, which no
 * disk may give it, and follow links that lead out of the target.
 */
export async function policyLabel(
  context: Labelling,
  root: TargetRoot,
  path: string,
  kind: LabelledKind,
): Promise<string | null> {
  const policy = /^[ \t]*SELINUXTYPE[ \t]*=[ \t]*([\w-]+)[ \t]*$/m.exec(
    await settingsOf(root),
  )?.[1];
  if (policy === undefined) return null;
  const texts = await contextsOf(root, policy);
  if (texts === null) return null;
  const folder = await mkdtemp(join(await scratchFolder(context), 'contexts-'));
  try {
    const contexts = join(folder, 'file_contexts');
    for (const [suffix, bytes] of texts) await writeFile(`${contexts}${suffix}`, bytes);
    const words = ['matchpathcon', '-f', contexts, '-n', '-m', kind, '--', path];
    const done = await context.run(words, {
      output: 'capture',
      timeoutMs: LOOKED_UP_WITHIN_MS,
    });
    const label = done.out.trim();
    return done.exitStatus === 0 && LABEL.test(label) ? label : null;
  } catch (error) {
    if (error instanceof CommandStartError && error.failure === 'not_found') return null;
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Null where the first is not there, or one is no plain text: without it others would give another label. */
async function contextsOf(root: TargetRoot, policy: string): Promise<Map<string, Buffer> | null> {
  const path = `/etc/selinux/${policy}/contexts/files/file_contexts`;
  const texts = new Map<string, Buffer>();
  for (const suffix of CONTEXTS) {
    try {
      const state = await readState(root, `${path}${suffix}`, false, CONTEXTS_MAX_BYTES);
      // libselinux knows compiled expressions by what a file begins with, not by its name.
      if (state?.bytes.includes(0) === true) return null;
      if (state !== null) texts.set(suffix, state.bytes);
    } catch {
      return null;
    }
  }
  return texts.has('') ? texts : null;
}

/** Null where it has none. */
export async function readLabel(context: Running, descriptor: number): Promise<string | null> {
  const words = ['getfattr', '--absolute-names', '--only-values', '--name', NAME];
  const done = await runAttr(context, [...words, '/proc/self/fd/3'], descriptor);
  // The kernel ends it with a NUL.
  const label = done.out.replace(/(?<!\0)\0+$/, '');
  return done.exitStatus === 0 && LABEL.test(label) ? label : null;
}

/**
 * Whether a kernel with SELinux lets programs have it: without a label, it is `unlabeled_t` there. Where nobody
 * here can read labels none is said to be missing.
 */
export async function isLabelled(context: Running, descriptor: number): Promise<boolean> {
  try {
    const type = (await readLabel(context, descriptor))?.split(':')[2];
    return type !== undefined && type !== 'unlabeled_t';
  } catch (error) {
    if (error instanceof ActionError && error.reason === 'label_not_set') return true;
    throw error;
  }
}

/** @param label null: it is to have none */
export async function writeLabel(
  context: Running,
  descriptor: number,
  label: string | null,
): Promise<void> {
  const what = label === null ? ['--remove', NAME] : ['--name', NAME, '--value', label];
  const done = await runAttr(context, ['setfattr', ...what, '/proc/self/fd/3'], descriptor);
  if (done.exitStatus === 0) return;
  throw new ActionError('label_not_set', `setfattr: ${done.err.trim()}`);
}

async function runAttr(
  context: Running,
  words: readonly string[],
  descriptor: number,
): Promise<CommandResult> {
  try {
    return await context.run(words, { output: 'capture', descriptors: [descriptor] });
  } catch (error) {
    if (!(error instanceof CommandStartError) || error.failure !== 'not_found') throw error;
    throw new ActionError(
      'label_not_set',
      'the target uses SELinux, and getfattr and setfattr (package attr) are not there to label what is new',
    );
  }
}

async function settingsOf(root: TargetRoot): Promise<string> {
  const settings = await readState(root, SETTINGS).catch(() => null);
  return settings?.bytes.toString('latin1') ?? '';
}
