import { TargetRoot } from '../../../target/target-root.ts';
import { makeChange, prepareChange } from '../change-files.ts';
import { planFileChange } from '../plan-file-change.ts';
import { findSavedFiles, restoreFiles } from '../restore-files.ts';
import { fileContext } from './file-context.ts';

// Changes a file, or takes the change back, in a process of its own, which a test kills on the way.
// Arguments: root of the target, folder of backups, folder for pipes, `change`, `remove` or `undo`, path.
const [root = '', folder = '', pipes = '', what = '', path = ''] = process.argv.slice(2);
const target = new TargetRoot(root);
const context = fileContext(pipes);
if (what === 'undo') {
  await restoreFiles(context, target, folder, await findSavedFiles(target, folder));
} else {
  const content = what === 'remove' ? null : Buffer.from('the new content\n');
  const { change, precondition } = await planFileChange(target, { path, content, mode: 0o644 });
  const place = { folder, index: 0 };
  const prepared = await prepareChange(context, target, change, precondition.digest, place);
  await makeChange(context, target, prepared);
}
process.exit(0);
