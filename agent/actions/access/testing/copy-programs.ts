import { execFileSync } from 'node:child_process';

/** Copies programs of this machine, with the libraries they need, to their places below another root. */
export function copyPrograms(root: string, programs: readonly string[]): void {
  const listed = execFileSync('ldd', programs, { encoding: 'utf8' });
  const libraries = [...listed.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
  for (const path of new Set([...programs, ...libraries])) {
    execFileSync('install', ['-D', '--mode=0755', path, `${root}${path}`]);
  }
}
