import type { ActionContext } from '../../../runner/action.ts';
import { TargetRoot } from '../../../target/target-root.ts';
import {
  applyChangeSteps,
  planChangeSteps,
  takeBackChanges,
  type ChangeStep,
} from '../change-steps.ts';
import { fileContext } from './file-context.ts';

// Carries out steps with a change of each kind, or takes them back, in a process of its own, which a test
// kills on the way. Arguments: root of the target, folder of backups, folder for pipes, `apply` or `undo`.
const [root = '', folder = '', pipes = '', what = ''] = process.argv.slice(2);

export const manySteps: readonly ChangeStep[] = [
  {
    id: 'files',
    description: 'Change files',
    verify: 'They are read again.',
    changes: [
      {
        kind: 'file',
        path: '/etc/flagged',
        content: Buffer.from('new\n'),
        mode: 0o644,
        liftsFlags: true,
        corrects: { mode: 0o600, uid: 0, gid: 0 },
      },
      {
        kind: 'file',
        path: '/home/ann/.ssh/keys',
        content: Buffer.from('key\n'),
        mode: 0o600,
        owner: { uid: 33, gid: 34 },
        folders: { mode: 0o700, uid: 33, gid: 34 },
        straight: true,
      },
      { kind: 'file', path: '/etc/removed', content: null, mode: 0 },
    ],
  },
  {
    id: 'rest',
    description: 'Change modes, owners and links',
    verify: 'They are read again.',
    changes: [
      { kind: 'attributes', path: '/etc/open', mode: 0o640, uid: 33, gid: 34 },
      { kind: 'attributes', path: '/home', mode: 0o755, straight: true },
      { kind: 'label', path: '/home/ann', label: 'system_u:object_r:user_home_dir_t:s0' },
      { kind: 'link', path: '/etc/wants/unit', target: '/lib/unit' },
      { kind: 'link', path: '/etc/mask', target: null },
      { kind: 'link', path: '/etc/turned', target: '/there' },
    ],
  },
];

if (import.meta.filename === process.argv[1]) {
  const target = new TargetRoot(root);
  const context = { ...fileContext(pipes), step };
  context.spec.parameters = {};
  if (what === 'undo') {
    await takeBackChanges(context, target, folder);
  } else {
    const planned = await planChangeSteps(context, target, manySteps);
    await applyChangeSteps(context, planned, planned.preconditions, folder);
  }
  process.exit(0);
}

async function step(_: unknown, body: Parameters<ActionContext['step']>[1]): Promise<void> {
  await body(() => Promise.resolve());
}
