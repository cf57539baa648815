import type { TargetFiles } from '../../target/target-files.ts';

const INFO = '/var/lib/dpkg/info';
const LISTS = /^(?:libc6|libc6:[a-z0-9-]+)\.md5sums$/;
/** The loader and the libraries beside it: without them no program starts. */
const NEEDED =
  /^((?:usr\/)?lib(?:64|32)?\/(?:[\w-]+\/)?(?:ld[\w.-]*\.so[\w.]*|lib[\w-]+\.so\.[\d.]+))$/;

/** A file without which no program of the target starts, as its package knows it. */
export interface LibcFile {
  /** Absolute in the target. */
  path: string;
  md5: string;
  /** `libc6:amd64`: as the files of dpkg name it. */
  package: string;
}

/** Those that are gone or empty. Of systems whose packages dpkg keeps. */
export async function lostLibcFiles(files: TargetFiles): Promise<LibcFile[]> {
  const lost: LibcFile[] = [];
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
    const [, md5, path] = /^([0-9a-f]{32}) {2}(.+)$/.exec(line) ?? [];
    return path !== undefined && NEEDED.test(path) ? [{ path: `/${path}`, md5: md5! }] : [];
  });
}
