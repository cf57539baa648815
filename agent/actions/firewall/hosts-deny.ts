import { readFile } from 'node:fs/promises';
import type { TargetFiles } from '../../target/target-files.ts';
import { nothingToRepair, type FileRepairs, type FilesLook } from './file-repair.ts';

const PATH = '/etc/hosts.deny';
const SSHD = '/usr/sbin/sshd';
const SSHD_MAX_BYTES = 8 * 1024 * 1024;

/** What hosts.deny(5) needs where sshd reads it: the lines that shut everybody out are made comments. */
export async function hostsDenyRepairs({
  target,
}: Pick<FilesLook, 'target'>): Promise<FileRepairs> {
  const text = await target.files.read(PATH).catch(() => null);
  if (text === null || !(await readsHostsFiles(target.files))) return nothingToRepair;
  const after = text.split('\n').map((line) => (shutsSshOut(line) ? `#${line}` : line));
  if (after.join('\n') === text) return nothingToRepair;
  return {
    steps: [
      {
        id: 'hosts-deny',
        description: 'Make comments of the lines that shut everybody out of SSH',
        changes: [
          { kind: 'file', path: PATH, content: Buffer.from(after.join('\n')), mode: 0o644 },
        ],
        verify: 'No line of the file shuts SSH out.',
      },
    ],
    findings: [],
    removals: [],
  };
}

/** Of everybody, without an exception: what names certain clients is somebody's intention. */
function shutsSshOut(line: string): boolean {
  const [, daemons, clients] = /^\s*([^#:]+):\s*([^:]+?)\s*(?::.*)?$/.exec(line) ?? [];
  if (daemons === undefined || clients === undefined) return false;
  const names = daemons.trim().split(/[\s,]+/);
  return (
    clients === 'ALL' &&
    (names.includes('sshd') || names.includes('ALL')) &&
    !names.includes('EXCEPT')
  );
}

/** Whether the target's sshd is linked with libwrap, as Debian's is and Red Hat's is not any more. */
async function readsHostsFiles(files: TargetFiles): Promise<boolean> {
  const program = await files.locate(SSHD);
  if (program === null) return false;
  const bytes = await readFile(program).catch(() => null);
  return bytes !== null && bytes.length <= SSHD_MAX_BYTES && bytes.includes('libwrap.so.0');
}
