import { basename } from 'node:path';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetFolder } from '../../target/target-root.ts';

type Running = Pick<ActionContext, 'run'>;

/** Those of chattr(1) that keep root itself from changing a file: immutable, append-only. */
const HINDERING = ['i', 'a'];

/**
 * The flags of a file that keep everybody from changing it, as chattr(1) writes them; empty for none, where
 * there is no file, and on file systems that know no flags.
 */
export async function readFlags(
  context: Running,
  folder: TargetFolder,
  name: string,
): Promise<string> {
  const listed = await context.run(['lsattr', '-d', '--', inFolder(name)], {
    output: 'capture',
    descriptors: [folder.descriptor],
  });
  if (listed.exitStatus !== 0) return '';
  const [flags = ''] = listed.out.split(' ', 1);
  return HINDERING.filter((flag) => flags.includes(flag)).join('');
}

/** Takes flags off a file, or gives them. Throws ActionError `flags_not_set`. */
export async function setFlags(
  context: Running,
  folder: TargetFolder,
  name: string,
  change: `${'+' | '-'}${string}`,
): Promise<void> {
  const done = await context.run(['chattr', change, '--', inFolder(name)], {
    output: 'capture',
    descriptors: [folder.descriptor],
  });
  if (done.exitStatus === 0) return;
  const path = `${folder.path === '/' ? '' : folder.path}/${name}`;
  throw new ActionError('flags_not_set', `chattr ${change} ${path}: ${done.err.trim()}`);
}

/** By the open folder: a path could lead elsewhere by then. */
function inFolder(name: string): string {
  return `/proc/self/fd/3/${basename(name)}`;
}
