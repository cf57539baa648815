import type { TargetFiles } from '../../target/target-files.ts';
import type { PackagedFile } from './find-lost-file.ts';

const INFO = '/var/lib/dpkg/info';
const LISTS = /^(?:libc6|libc6:[a-z0-9-]+)\.md5sums$/;
/** The loader and the libraries beside it: without them no program starts. */
const NEEDED =
  /^((?:usr\/)?lib(?:64|32)?\/(?:[\w-]+\/)?(?:ld[\w.-]*\.so[\w.]*|lib[\w-]+\.so\.[\d.]+))$/;

/** Files without which no program of the target starts, and which are gone or empty. Of systems whose packages dpkg keeps. */
export async function lostLibcFiles(files: TargetFiles): Promise<PackagedFile[]> {
  const lost: PackagedFile[] = [];
  for (const name of (await files.list(INFO)).filter((entry) => LISTS.test(entry))) {
    for (const { path, md5 } of readSums((await files.read(`${INFO}/${name}`)) ?? '')) {
      const found = await files.stat(path);
      if (found !== null && found.isFile() && found.size > 0) continue;
      lost.push({ path, md5, package: name.slice(0, -'.md5sums'.length) });
    }
  }
  return lost;
}

function readSums(text: string): { path: string; md5: string }[] {
  return text.split('\n').flatMap((line) => {
    const [, md5, path] = /^([0-9a-f]{32}) {2}(.{1,1024})$/.exec(line) ?? [];
    return path !== undefined && NEEDED.test(path) ? [{ path: `/${path}`, md5: md5! }] : [];
  });
}
