import { CommandStartError } from '../../process/command-start-error.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetFolder, TargetRoot } from '../../target/target-root.ts';
import { readState } from './file-state.ts';

type Running = Pick<ActionContext, 'run'>;

const SETTINGS = '/etc/selinux/config';
const NAME = 'security.selinux';

/**
 * Gives something new the label of SELinux that the policy of its system wants there: that of the folder it
 * lies in, with a type of its own. The kernel of a rescue system would give it none, and the system itself
 * would then not read it. Nothing where the target does not use SELinux, or its folder has no label.
 *
 * @param descriptor of an open file or folder
 * @param type as in `ssh_home_t`
 */
export async function giveLabel(
  context: Running,
  root: TargetRoot,
  folder: TargetFolder,
  descriptor: number,
  type: string,
): Promise<void> {
  if (!(await usesLabels(root))) return;
  try {
    const label = await labelOf(context, folder);
    if (label === null) return;
    const [user = '', role = '', , ...level] = label.split(':');
    const value = [user, role, type, ...level].join(':');
    const words = ['setfattr', '--name', NAME, '--value', value, '/proc/self/fd/3'];
    const done = await context.run(words, { output: 'capture', descriptors: [descriptor] });
    if (done.exitStatus === 0) return;
    throw new ActionError('label_not_set', `setfattr: ${done.err.trim()}`);
  } catch (error) {
    if (!(error instanceof CommandStartError) || error.failure !== 'not_found') throw error;
    throw new ActionError(
      'label_not_set',
      'the target uses SELinux, and getfattr and setfattr (package attr) are not there to label what is new',
    );
  }
}

async function usesLabels(root: TargetRoot): Promise<boolean> {
  const settings = await readState(root, SETTINGS).catch(() => null);
  const text = settings?.bytes.toString('latin1') ?? '';
  return /^\s*SELINUX\s*=\s*(?:enforcing|permissive)\s*$/m.test(text);
}

async function labelOf(context: Running, folder: TargetFolder): Promise<string | null> {
  const words = ['getfattr', '--absolute-names', '--only-values', '--name', NAME];
  const done = await context.run([...words, '/proc/self/fd/3/.'], {
    output: 'capture',
    descriptors: [folder.descriptor],
  });
  // The kernel ends it with a NUL.
  const label = done.out.replace(/\0+$/, '');
  return done.exitStatus === 0 && /^[^:\s]+:[^:\s]+:[^:\s]+(?::\S+)?$/.test(label) ? label : null;
}
