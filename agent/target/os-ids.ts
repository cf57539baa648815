import type { TargetFiles } from './target-files.ts';

const OS_RELEASE = ['/etc/os-release', '/usr/lib/os-release'];

/** What a system says it is and is like, the nearest first, such as `almalinux`, `rhel`, `fedora` (os-release(5)). */
export async function osIds(files: Pick<TargetFiles, 'read'>): Promise<string[]> {
  for (const path of OS_RELEASE) {
    const text = await files.read(path);
    if (text === null) continue;
    return [...text.matchAll(/^(?:ID|ID_LIKE)=(.*)$/gm)]
      .flatMap(([, words]) => words!.split(/[\s"']+/))
      .map((id) => id.replace(/-.*$/, ''));
  }
  return [];
}
