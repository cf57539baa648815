import type { ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import type { Change } from '../../files/change-steps.ts';
import { openUnfollowed } from '../../files/attributes.ts';
import { openFolderOf } from '../../files/file-state.ts';
import { isLabelled, policyLabel, RELABEL_ALL, usesLabels } from '../../files/security-label.ts';

/** Without these nobody gets in; they are also what repairs from outside write. */
export const LABELLED_FILES: readonly string[] = [
  '/etc/passwd',
  '/etc/shadow',
  '/etc/group',
  '/etc/fstab',
  '/etc/ssh/sshd_config',
];

export interface LabelRepair {
  changes: Change[];
  findings: string[];
}

/**
 * What SELinux would keep the system from reading: files without a label get the one that the policy of the
 * target has for them. Where nobody here can look that up the next boot labels everything.
 */
export async function repairLabels(context: ActionContext, target: Target): Promise<LabelRepair> {
  const { root, files } = target;
  const isRelabelled = (await files.lstat(RELABEL_ALL)) !== null;
  if (isRelabelled || !(await usesLabels(root))) return { changes: [], findings: [] };
  const changes: Change[] = [];
  const findings: string[] = [];
  let isUnknown = false;
  for (const path of LABELLED_FILES) {
    const found = await files.lstat(path);
    if (found?.isFile() !== true || (await hasLabel(context, target, path))) continue;
    findings.push(`${path} has no label, and SELinux keeps programs from it`);
    const label = await policyLabel(context, root, path, 'file');
    if (label === null) isUnknown = true;
    else changes.push({ kind: 'label', path, label });
  }
  if (!isUnknown) return { changes, findings };
  return {
    changes: [{ kind: 'file', path: RELABEL_ALL, content: Buffer.alloc(0), mode: 0o644 }],
    findings: [
      ...findings,
      'Which labels the policy has cannot be looked up here: the next boot labels every file anew, which takes minutes.',
    ],
  };
}

async function hasLabel(context: ActionContext, { root }: Target, path: string): Promise<boolean> {
  const folder = await openFolderOf(root, path);
  if (folder === null) return true;
  try {
    const handle = await openUnfollowed(folder, path.slice(path.lastIndexOf('/') + 1));
    try {
      return await isLabelled(context, handle.fd);
    } finally {
      await handle.close();
    }
  } finally {
    await folder.close();
  }
}
